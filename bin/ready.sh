# Sourced by bin/codex-oss and bin/test: makes sure that .venv is what uv.lock says, starting no Python when it is.
#
# Rules that hold here:
# 1. The stamp names this clone's path and the digest of everything that decides the environment; when it fits,
#    nothing is run. A moved clone or a new lock does not fit.
# 2. The stamp is written last, by bin/setup.py under a lock: an interrupted set-up is simply done again.
# 3. Plain POSIX sh. `$root` is the clone, set by whoever sources this file.

stamp="$root/.venv/.codex-oss-ready"

# environment_ready PROFILE: run (the product and its embedded model) or dev (that and the development tools).
environment_ready() {
    digest=$(cat "$root/uv.lock" "$root/pyproject.toml" "$root/bin/setup.py" | cksum) || return 1
    wanted="$digest $root"
    [ -r "$stamp" ] && [ -x "$root/.venv/bin/python" ] && [ -x "$root/.venv/bin/codex-oss" ] || return 1
    { read -r made_for && read -r made_profile; } <"$stamp" || return 1
    [ "$made_for" = "$wanted" ] || return 1
    [ "$made_profile" = dev ] || [ "$made_profile" = "$1" ]
}

# find_python: prints the first interpreter that is new enough and can make a virtual environment.
find_python() {
    too_old="" lame=""
    for candidate in ${CODEX_OSS_PYTHON:+"$CODEX_OSS_PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            too_old="$candidate"
        elif ! "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
            lame="$candidate"
        else
            command -v "$candidate"
            return 0
        fi
    done
    if [ -n "$lame" ]; then
        echo "error: $lame is new enough, but it cannot make a virtual environment (no venv or ensurepip)." >&2
        echo "hint: on Debian and Ubuntu: apt install python3-venv; or name another one in CODEX_OSS_PYTHON." >&2
    elif [ -n "$too_old" ]; then
        echo "error: codex-oss needs Python 3.11 or newer; $too_old is older." >&2
        echo "hint: install a newer Python, or name one in CODEX_OSS_PYTHON." >&2
    else
        echo "error: codex-oss needs Python 3.11 or newer, and no python3 was found on PATH." >&2
        echo "hint: install Python, or name one in CODEX_OSS_PYTHON." >&2
    fi
    return 1
}

# ensure_environment PROFILE: returns with .venv ready, or not zero with the reason on stderr.
ensure_environment() {
    environment_ready "$1" && return 0
    python=$(find_python) || return 1
    "$python" "$root/bin/setup.py" "$1" "$wanted"
}
