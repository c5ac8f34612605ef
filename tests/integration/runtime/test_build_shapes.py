"""Dockerfiles of the shapes that people publish (docker/awesome-compose), from the first line to a pod that answers.

Their base images are stood in for by one that is built here: this machine's own programs, and small scripts in the
place of npm, go, pip, mvn, cargo and the package managers, which do what the real ones do to files.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.runtime.lab import Lab, tar_of

pytestmark = pytest.mark.root

TOOLS = """\
FROM host
COPY --chmod=755 <<"npm" <<"go" <<"pip3" <<"apk" <<"mvn" <<"cargo" /usr/local/bin/
#!/bin/sh -e
case $1 in
    ci|install|i)
        test -f package.json; mkdir -p node_modules/dep
        echo "installed for ${NODE_ENV-nothing}" > node_modules/dep/x ;;
    run) mkdir -p build; cat src/* > build/index.html; cat node_modules/dep/x >> build/index.html ;;
    *) exit 2 ;;
esac
npm
#!/bin/sh -e
case $1 in
    mod) echo "$(cat go.mod)" >> /go/pkg/mod/cache/all ;;
    build)
        mkdir -p "$(dirname $3)"
        { echo '#!/usr/bin/python3'; cat $4; echo "print('$CGO_ENABLED')"; } > $3; chmod +x $3 ;;
esac
go
#!/bin/sh -e
[ "$1 $2" = "install -r" ] && mkdir -p /usr/local/lib/deps && cp "$3" /usr/local/lib/deps/
pip3
#!/bin/sh -e
[ $# -gt 0 ]
apk
#!/bin/sh -e
mkdir -p target && cp -r src/main/java target/app.jar
mvn
#!/bin/sh -e
test -f Cargo.toml; mkdir -p target/release && cp src/main.rs target/release/app && chmod +x target/release/app
cargo
RUN ln -s apk /usr/local/bin/apt && ln -s apk /usr/local/bin/npx && test -x /usr/local/bin/cargo
ENV NODE_VERSION=17
"""


SITE = gzip.compress(tar_of({"site": b"x"}))


@dataclass(frozen=True)
class Shape:
    """A Dockerfile, its files, and what a container of the image prints when ``script`` runs in it."""

    name: str
    dockerfile: str
    files: dict[str, bytes]
    script: str
    prints: str
    target: str = ""
    arguments: dict[str, str] = field(default_factory=dict[str, str])


SHAPES = [
    Shape(
        "go",
        """\
# syntax=docker/dockerfile:1.4
FROM --platform=$BUILDPLATFORM golang:1.18-alpine AS builder

WORKDIR /code

ENV CGO_ENABLED 0
ENV GOPATH /go
ENV GOCACHE /go-build

COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod/cache \\
    go mod download

COPY . .

RUN --mount=type=cache,target=/go/pkg/mod/cache \\
    --mount=type=cache,target=/go-build \\
    go build -o bin/backend main.go

CMD ["/code/bin/backend"]

FROM builder as dev-envs

RUN <<EOF
apk update
apk add git
EOF

RUN <<EOF
groupadd docker
useradd --shell /bin/bash -g docker vscode
EOF

FROM golang:1.18-alpine
COPY --from=builder /code/bin/backend /usr/local/bin/backend
CMD ["/usr/local/bin/backend"]
""",
        {"go.mod": b"module x", "go.sum": b"", "main.go": b"print('backend')\n"},
        "/usr/local/bin/backend; ls -d /code /go 2>&1 | grep -c such",
        "backend\n0\n2\n",
    ),
    Shape(
        "react behind a web server",
        """\
# 1. For build React app
FROM node:lts AS development

# Set working directory
WORKDIR /app

#
COPY package.json /app/package.json
COPY package-lock.json /app/package-lock.json

# Same as npm install
RUN npm ci

COPY . /app

ENV CI=true
ENV PORT=3000

CMD [ "npm", "start" ]

FROM development AS build

RUN npm run build

FROM development as dev-envs
RUN <<EOF
apt-get update
exit 7
EOF
CMD [ "npm", "start" ]

# 2. For Nginx setup
FROM nginx:alpine

# Copy config nginx
COPY --from=build /app/.nginx/nginx.conf /etc/nginx/conf.d/default.conf

WORKDIR /usr/share/nginx/html

# Remove default nginx static assets
RUN rm -rf ./*

# Copy static assets from builder stage
COPY --from=build /app/build .

# Containers run nginx with global directives and daemon off
ENTRYPOINT ["nginx", "-g", "daemon off;"]
""",
        {
            "package.json": b"{}",
            "package-lock.json": b"{}",
            "src/a.js": b"hello\n",
            ".nginx/nginx.conf": b"server {}\n",
        },
        "cat index.html /etc/nginx/conf.d/default.conf; ls; pwd",
        "hello\ninstalled for nothing\nserver {}\nindex.html\n/usr/share/nginx/html\n",
    ),
    Shape(
        "node with a health check",
        """\
# Builds on a base image with arguments, to production unless told otherwise
FROM node:lts-buster-slim AS base
ARG NODE_ENV=production
ENV NODE_ENV $NODE_ENV

WORKDIR /code
ARG PORT=9000
ENV PORT $PORT
EXPOSE $PORT 9229 9230

COPY package*.json ./
RUN npm install && rm -rf /tmp/*
ENV PATH /code/node_modules/.bin:$PATH

HEALTHCHECK --interval=30s \\
  CMD node healthcheck.js

COPY . /code
RUN chown -R 1000:1000 /code
USER 1000
CMD [ "node", "src/index.js" ]

FROM base as production
RUN echo $NODE_ENV:$PORT > written
""",
        {"package.json": b"{}", "src/index.js": b"x"},
        "cat written node_modules/dep/x; id -u; echo $PATH | cut -d: -f1; echo $NODE_VERSION",
        "development:9000\ninstalled for development\n1000\n/code/node_modules/.bin\n17\n",
        arguments={"NODE_ENV": "development"},
    ),
    Shape(
        "python",
        """\
FROM --platform=$BUILDPLATFORM python:3.10-alpine AS builder

WORKDIR /app

COPY requirements.txt /app
RUN --mount=type=cache,target=/root/.cache/pip \\
    pip3 install -r requirements.txt

COPY . /app

ENTRYPOINT ["python3"]
CMD ["app.py"]

FROM builder as dev-envs

RUN <<EOF
apk update
apk add git
EOF
""",
        {"requirements.txt": b"flask\n", "app.py": b"print('flask')"},
        "python3 app.py; cat /usr/local/lib/deps/requirements.txt; ls -A /root",
        "flask\nflask\n",
        target="builder",
    ),
    Shape(
        "python in a virtual environment",
        """\
ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim as base
ENV PYTHONDONTWRITEBYTECODE=1 \\
    PYTHONUNBUFFERED=1
WORKDIR /app
# Create a non-privileged user that the app will run under.
ARG UID=10001
RUN groupadd -g "${UID}" appuser && useradd \\
    --no-create-home \\
    --uid "${UID}" --gid "${UID}" \\
    appuser
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=bind,source=requirements.txt,target=requirements.txt \\
    pip3 install -r requirements.txt
USER appuser
COPY . .
EXPOSE 8000
CMD gunicorn 'app:create()' --bind=0.0.0.0:8000
""",
        {"requirements.txt": b"gunicorn\n", "app.py": b""},
        "id -un; ls; cat /usr/local/lib/deps/*; echo $PYTHONUNBUFFERED",
        "appuser\napp.py\nrequirements.txt\ngunicorn\n1\n",
    ),
    Shape(
        "java",
        """\
# syntax=docker/dockerfile:1.4

FROM --platform=$BUILDPLATFORM maven:3.8.5-eclipse-temurin-17 AS builder
WORKDIR /workdir/server
COPY pom.xml /workdir/server/pom.xml
RUN mvn dependency:go-offline || true

COPY src /workdir/server/src
RUN mvn install

FROM builder as prepare-production
RUN mkdir -p target/dependency
WORKDIR /workdir/server/target/dependency
RUN cp -r ../app.jar .

FROM eclipse-temurin:17-jre-focal

EXPOSE 8080
VOLUME /tmp
ARG DEPENDENCY=/workdir/server/target/dependency
COPY --from=prepare-production ${DEPENDENCY}/app.jar /app/lib
ENTRYPOINT ["java","-cp","app:app/lib/*","com.company.project.Application"]
""",
        {"pom.xml": b"<x/>", "src/main/java/App.java": b"class App"},
        "cat /app/lib/App.java; echo; ls -d /workdir 2>&1 | grep -c such",
        "class App\n1\n",
    ),
    Shape(
        "rust with a locked cache",
        """\
# syntax=docker/dockerfile:1.4
FROM --platform=$BUILDPLATFORM rust:buster AS base
WORKDIR /code
RUN <<EOF
#!/bin/sh
set -e
apt install cargo-watch
echo "#" > prepared
EOF
COPY Cargo.toml Cargo.lock* ./
COPY src src

FROM base AS builder
RUN --mount=type=cache,target=/code/registry,sharing=locked \\
  cargo build --release --offline

FROM debian:buster-slim
ENV ROCKET_ENV=production
EXPOSE 8000
COPY --link --from=builder --chmod=0755 /code/target/release/app /react-rust-postgres
CMD [ "/react-rust-postgres" ]
""",
        {"Cargo.toml": b"x", "src/main.rs": b"#!/bin/sh\necho rust in $ROCKET_ENV\n"},
        "/react-rust-postgres",
        "rust in production\n",
    ),
    Shape(
        "php with configuration in place",
        """\
FROM php:8.2-apache
LABEL maintainer="a person <person@example.com>" \\
      org.opencontainers.image.title="php app"
COPY <<EOF /etc/php.ini
memory_limit = ${MEMORY:-128M}
port = ${PORT:-80}
EOF
ADD site.tar.gz /var/www/html/
COPY --chown=www-data:www-data index.php /var/www/html/
STOPSIGNAL SIGWINCH
WORKDIR /var/www/html
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN set -eux; \\
    \\
# a comment within
    ls | wc -l > /count; \\
    echo done
CMD ["apache2-foreground"]
""",
        {"index.php": b"<?php", "site.tar.gz": SITE},
        "cat /etc/php.ini /count; stat -c %U index.php; ls",
        "memory_limit = 128M\nport = 80\n2\nwww-data\nindex.php\nsite\n",
    ),
    Shape(
        "a template for others",
        """\
FROM node:18 AS onbuild
ONBUILD WORKDIR /usr/src/app
ONBUILD COPY package.json .
ONBUILD RUN npm install
ONBUILD COPY . .
FROM onbuild
RUN npm run build
CMD ["npm", "start"]
""",
        {"package.json": b"{}", "src/a": b"a\n"},
        "pwd; cat build/index.html",
        "/usr/src/app\na\ninstalled for nothing\n",
    ),
    Shape(
        "windows line ends and the other escape",
        '# escape=`\r\nFROM node:18\r\nRUN echo one `\r\n  && echo two > /two\r\nCOPY ["a b.txt", "/docs/"]\r\n'
        'ENV P=C:\\dir\\\r\nCMD ["cat"]\r\n',
        {"a b.txt": b"spaces\n"},
        "cat /two '/docs/a b.txt'; echo \"$P\"",
        "two\nspaces\nC:\\dir\\\n",
    ),
]
BASES = [
    *(
        "golang:1.18-alpine",
        "node:lts",
        "nginx:alpine",
        "node:lts-buster-slim",
        "python:3.10-alpine",
        "python:3.12-slim",
    ),
    *("maven:3.8.5-eclipse-temurin-17", "eclipse-temurin:17-jre-focal", "rust:buster", "debian:buster-slim"),
    *("php:8.2-apache", "node:18"),
]


async def test_shapes_of_published_dockerfiles(lab: Lab) -> None:
    await lab.build(TOOLS, "tools:1")
    sandbox = await lab.sandbox("web")
    bases = dict.fromkeys(BASES, "tools:1")
    for number, shape in enumerate(SHAPES):
        image, again = f"shape:{number}", f"again:{number}"
        more: dict[str, Any] = {
            "files": shape.files,
            "bases": bases,
            "target": shape.target,
            "build_args": shape.arguments,
        }
        await lab.build(shape.dockerfile, image, **more)
        assert await lab.output(sandbox, f"c{number}", shape.script, image) == shape.prints, shape.name
        await lab.build(shape.dockerfile, again, **more)
        assert await lab.image_id(image) == await lab.image_id(again), shape.name
