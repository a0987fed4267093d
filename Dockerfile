# CPU:   docker build -t camkit .
# CUDA:  docker build -t camkit:cuda --build-arg TORCH=https://download.pytorch.org/whl/cu128 .
# docker run --rm -v "$PWD":/data camkit masks photos/ --labels tags.csv --out result/
FROM python:3.12-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "$TORCH" torch
COPY . /src
RUN pip install --no-cache-dir "/src[weights]" && rm -rf /src
WORKDIR /data
ENTRYPOINT ["camkit"]
CMD ["--help"]
