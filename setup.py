"""Packages and console command of soundlake; dependencies and tool settings are in pyproject.toml."""

from setuptools import find_packages, setup

PACKAGES = ["orchestration", "jobs", "assets", "serving", "models", "simulation", "lakehouse"]

setup(
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={"": ["*.yaml", "*.md", "*.json", "*.jar", "src/**/*.java", "page/*"]},
    entry_points={"console_scripts": ["soundlake = orchestration.cli:main"]},
)
