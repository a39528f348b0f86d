"""Names that are never read, listed or searched, whatever a mission asks for: where secrets usually lie.

Counterpart: `policy.scope`, which asks here before it looks at what the mission allows.

Rules that hold here:

1. Each component of a path is judged alone, so a denied name counts at any depth, for a folder as for a file.
2. Names are compared after NFKC, case folding, removal of invisible characters and of trailing dots and blanks,
   because some file systems do the same.
3. Nothing but the project's own ignore file takes a name back, and only one of `PERMITTED_NAMES`.
"""

from __future__ import annotations

import re
import unicodedata
from fnmatch import translate
from functools import lru_cache
from typing import Final

DENIED_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "environment file": (".env*", "*.env", ".dev.vars"),
    "secret store": (
        "secrets", ".secrets", ".secret", "secrets.yaml", "secrets.yml", "secrets.json", "secrets.toml",
        "secrets.enc.*",
        "credentials", "credentials.json", "credentials.toml", "credentials.db", ".credentials", ".credentials.json",
        "*.kdbx", "*.tfstate", "*.tfstate.*", ".terraform", ".vault-token", ".vault_pass*", "*.agekey",
    ),
    "private key": (
        "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.der", "*.pvk",
        "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "id_xmss*", ".ssh", ".gnupg", ".pki",
    ),
    "login file": (
        ".netrc", "_netrc", ".npmrc", ".pypirc", ".pgpass", ".my.cnf", ".mylogin.cnf", ".htpasswd", ".git-credentials",
        ".aws", ".azure", ".kube", "kubeconfig", ".docker", ".dockercfg", ".boto", ".s3cfg", ".gcloud",
        "application_default_credentials.json", "service-account*.json", "service_account*.json",
    ),
    "version control": (".git", "*.git", ".hg", ".svn", ".jj", ".bzr"),
    "installed packages": ("node_modules",),
    "state of the bridge": (".codex-oss",),
}  # fmt: skip
"""What a denied name is -> globs that one component of a path may match, in folded form."""

PERMITTED_NAMES: Final = frozenset({".env.example", ".env.sample", ".env.template", ".env.dist"})
"""What a project may take back with a `!` line of its ignore file: committed to be read, and redacted all the same."""


def denied_name(path: str) -> str:
    """What makes *path* unreadable whatever the scope says, e.g. `private key`; empty when nothing does."""
    for name in path.split("/"):
        if what := _denied_component(name):
            return what
    return ""


def is_permitted(path: str) -> bool:
    """Whether *path* is denied for its last name alone, and that is one of `PERMITTED_NAMES`."""
    folder, _, name = path.rpartition("/")
    return fold(name) in PERMITTED_NAMES and not (folder and denied_name(folder))


def may_be_denied(names: str) -> bool:
    """Whether any of *names*, one a line, needs a closer look: it is no plain ASCII, or it may be denied."""
    return not names.isascii() or _ANY.search(names.lower()) is not None


@lru_cache(maxsize=4_096)
def fold(path: str) -> str:
    """The form in which denied, forbidden and ignored names are compared (rule 2)."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    # Trailing dots and spaces are dropped by some file systems: `.env.` opens `.env` there.
    return "/".join(part.rstrip(" .") or part for part in visible.split("/"))


def _pattern(globs: tuple[str, ...]) -> str:
    return "|".join(translate(glob) for glob in globs)


_KINDS: Final = {what: re.compile(_pattern(globs)) for what, globs in DENIED_NAMES.items()}
# A line of several names: `*` does not cross its end, and what the fold would drop there may follow.
_ANY: Final = re.compile(
    "(?m)^(?:"
    + "|".join(re.escape(glob).replace(r"\*", r"[^\n]*") for globs in DENIED_NAMES.values() for glob in globs)
    + r")[ .]*$"
)


@lru_cache(maxsize=16_384)
def _denied_component(name: str) -> str:
    folded = fold(name)
    # NFKC may turn one character into a separator-like one; each piece is looked at.
    pieces = {folded, *folded.split("/")}
    for what, pattern in _KINDS.items():
        if any(pattern.match(piece) for piece in pieces):
            return what
    return ""
