# One image for web, workers and scheduler; compose.yaml says who runs what.
FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SYNCLOG_DATA_DIR=/data
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY manage.py ./
COPY config config
COPY apps apps
COPY templates templates

RUN useradd --uid 10001 synclog && install --directory --owner=synclog /data
USER synclog
VOLUME /data
EXPOSE 8000

CMD ["gunicorn", "config.wsgi", "--bind=0.0.0.0:8000", "--preload", "--workers=4", "--threads=8", \
     "--no-control-socket", "--access-logfile=-"]
