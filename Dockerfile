# The image of Dagster's page, its daemon, its runs and the MLflow server: soundlake with Java and Spark's jars.
# Written for compose.yaml; it has not been built where it was written, see the head of that file.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless procps libgomp1 \
    && rm -rf /var/lib/apt/lists/*

# Every volume's folder exists with its owner: a new named volume takes both over.
RUN useradd --uid 10001 --create-home soundlake \
    && install -d -o soundlake -g soundlake /opt/soundlake /opt/jars /lake /state /state/dagster /models /mlflow

WORKDIR /opt/soundlake
ENV UV_LINK_MODE=copy \
    UV_PROJECT_ENVIRONMENT=/opt/soundlake/.venv \
    PATH=/opt/soundlake/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SOUNDLAKE_CACHE=/opt/jars \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=true \
    GX_ANALYTICS_ENABLED=false
RUN pip install --no-cache-dir "uv>=0.8,<1"

USER soundlake
# The dependencies change less often than the code: a layer of their own.
COPY --chown=soundlake pyproject.toml uv.lock setup.py README.md ./
RUN uv sync --frozen --no-dev --no-install-project --no-cache
COPY --chown=soundlake . .
RUN uv sync --frozen --no-dev --no-cache
# Jars for local lakes and for S3 are baked in, so that a run needs no network for them.
RUN python -c "from pathlib import Path; from lakehouse.jars import coordinates_for, ensure_jars; \
[ensure_jars(coordinates_for(local), Path('/opt/jars')) for local in (True, False)]"

# Dagster reads its instance settings from DAGSTER_HOME, which is a volume: bring them up to date at each start.
ENV DAGSTER_HOME=/state/dagster
ENTRYPOINT ["/bin/sh", "-c", "cp dagster.yaml \"$DAGSTER_HOME/.$(hostname)\" && mv \"$DAGSTER_HOME/.$(hostname)\" \"$DAGSTER_HOME/dagster.yaml\" && exec \"$@\"", "soundlake"]
