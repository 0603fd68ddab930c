FROM python:3.11-slim
RUN useradd --create-home lab && mkdir /weights && chown lab /weights
WORKDIR /home/lab/app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY app.py .
COPY demo demo
COPY gradcam_core gradcam_core
USER lab
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADCAM_WEIGHTS_DIR=/weights
VOLUME /weights
EXPOSE 7860
CMD ["python", "app.py"]
