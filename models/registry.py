"""The MLflow model registry: what a version holds and how it is fetched.

A version is a models-from-code pyfunc with two models: ``evaluation/``, fit on the training part only, and, of the one
that listeners may get, ``serving/``, refit on everything. Every model of the line-up has a name of its own. The gate
compares candidate and champion by their ``evaluation/`` models on the same current hold-out. By their ``serving/``
models the champion could win or lose by what it had already been shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from models.context.fields import BANDS
from models.context.wire import KEYS

EVALUATION, SERVING = "evaluation", "serving"
CHAMPION, CHALLENGER = "champion", "challenger"
REQUIREMENTS = ("mlflow", "tensorflow-cpu", "numpy", "pandas", "pyarrow")
DESCRIPTION_LIMIT = 5000  # characters; hosted registries refuse longer descriptions


def log_version(
    models: Mapping[str, Path],
    registered_name: str,
    example: Sequence[str],
    card: str,
    tags: Mapping[str, str],
) -> int:
    """Log the pyfunc to the active run, register it under ``registered_name`` and return the version number.

    models: the folders that :func:`models.stored.store` wrote, ``EVALUATION`` and, of a model that is to be served,
    ``SERVING``. example: track ids of one short history. The version gets the card as its description and the alias
    ``challenger``.
    """
    import mlflow
    import pandas as pd

    frame = pd.DataFrame({"history": [list(example)]})
    mlflow.log_text(card, "model_card.md")
    info = mlflow.pyfunc.log_model(
        name="recommender",
        python_model=str(Path(__file__).with_name("pyfunc_recommender.py")),
        code_paths=[str(Path(__file__).parent)],
        artifacts={part: str(path) for part, path in models.items()},
        signature=signature(),
        input_example=(frame, {"k": 10}),
        pip_requirements=requirements(),
        registered_model_name=registered_name,
    )
    number = int(info.registered_model_version)
    client = mlflow.MlflowClient()
    client.update_registered_model(
        registered_name, "Track recommender of soundlake; each version carries its model card."
    )
    client.update_model_version(registered_name, str(number), card[:DESCRIPTION_LIMIT])
    for key, value in tags.items():
        client.set_model_version_tag(registered_name, str(number), key, value)
    client.set_registered_model_alias(registered_name, CHALLENGER, str(number))
    return number


def register_files(name: str, run_id: str, source: str, description: str, tags: Mapping[str, str]) -> int:
    """Register the files at ``source`` (an artefact folder of the run) as the next version of ``name``, which is no
    pyfunc; ``description`` is that of the name, should it be new. -> the number."""
    import mlflow
    from mlflow.exceptions import MlflowException

    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return int(client.create_model_version(name, source, run_id, tags=dict(tags)).version)


def name_of(registered_name: str, model: str) -> str:
    """The registered name of a model of the line-up; ``registered_name`` itself is that of what listeners get.

    >>> name_of("soundlake-recommender", "ease")
    'soundlake-recommender-ease'
    """
    return f"{registered_name}-{model}"


def signature():
    """Inputs, outputs and parameters of the pyfunc."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import Array, DataType

    whole = {name: DataType.long for name, bands in BANDS.items() if bands.whole} | {"birth_year": DataType.long}
    types = whole | {"temperature": DataType.double}
    strings = Array(DataType.string)
    inputs = [
        ColSpec(strings, "history"),
        ColSpec(strings, "exclude", required=False),
        *(ColSpec(types.get(key, DataType.string), key, required=False) for key in KEYS),
    ]
    outputs = [ColSpec(strings, "track_ids"), ColSpec(Array(DataType.double), "scores")]
    return ModelSignature(Schema(inputs), Schema(outputs), ParamSchema([ParamSpec("k", "integer", 10)]))


def requirements() -> list[str]:
    """Exact versions of what the pyfunc needs, as installed here."""
    out = []
    for name in REQUIREMENTS:
        try:
            out.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            # A GPU installation has the distribution `tensorflow` instead.
            out.append(f"tensorflow=={version('tensorflow')}" if name == "tensorflow-cpu" else name)
    return out


def aliased_version(tracking_uri: str, registered_name: str, alias: str) -> int | None:
    """The version an alias points to, None when there is no such model or alias."""
    import mlflow

    try:
        found = mlflow.MlflowClient(tracking_uri, tracking_uri).get_model_version_by_alias(registered_name, alias)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    return int(found.version)


def fetch(tracking_uri: str, registered_name: str, number: int, part: str, folder: Path) -> Path:
    """Download one model (``part``: "evaluation" or "serving") of a version into ``folder``; returns its path.

    Raises ValueError where the version lacks it.
    """
    import mlflow

    mlflow.set_tracking_uri(tracking_uri)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    uri = f"models:/{registered_name}/{number}"
    try:
        return Path(mlflow.artifacts.download_artifacts(f"{uri}/artifacts/{part}", dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ValueError(
            f"{registered_name} version {number} has no artifacts/{part}: it was not logged by soundlake, or its files "
            f"are gone ({error}). Train again: soundlake run"
        ) from error
