"""The labelled corpus of `docs/exposure.md`: texts with a secret, texts without, and what redaction makes of them.

Two parts. *Tuned* is what the rules were written against: `test_exposure`, and what was held out once and learned from.
*Held out* was written afterwards, from what vendors and tools document, and no rule was made for a row of it: what it
says is closer to what a stranger's project will meet. Whoever makes a rule for a held-out row moves the row over and
writes a new one. Every secret here is synthetic.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
from collections import defaultdict

from codex_oss.policy.denied_names import DENIED_NAMES
from codex_oss.policy.exposure import Redactor
from tests.policy.test_exposure import CONTEXT, SURVIVES, VENDOR

RANDOM = random.Random(20260)
B62 = string.ascii_letters + string.digits


def run(length: int, alphabet: str = B62) -> str:
    """A synthetic run."""
    return "".join(RANDOM.choice(alphabet) for _ in range(length))


def hexa(length: int) -> str:
    """A synthetic hexadecimal run."""
    return run(length, "0123456789abcdef")


def block(kind: str, indent: str = "") -> tuple[str, str]:
    """A key block and a line from its middle."""
    rows = [base64.b64encode(RANDOM.randbytes(48)).decode() for _ in range(5)]
    mark = f"{kind}PRIVATE KEY"
    lines = [f"-----BEGIN {mark}-----", *rows, f"-----END {mark}-----"]
    return "\n".join(indent + line for line in lines), rows[2]


def rows_tuned_since() -> list[tuple[str, str, str]]:
    """Kind, text, secret of what was held out once, and has been learned from."""
    RANDOM.seed(20_260)
    rows: list[tuple[str, str, str]] = []

    def vendor(prefix: str, secret: str, text: str = "use {} here") -> None:
        rows.append(("vendor form", text.format(prefix + secret), secret))

    for prefix, length in (
        ("ntn_", 46),
        ("dapi", 32),
        ("HRKU-", 36),
        ("figd_", 40),
        ("dp.pt.", 43),
        ("glsa_", 40),
        ("NRAK-", 27),
        ("sntrys_", 60),
        ("sbp_", 40),
        ("dckr_pat_", 27),
        ("r8_", 37),
        ("pplx-", 48),
        ("xai-", 80),
        ("sq0atp-", 22),
        ("PMAK-", 59),
        ("rubygems_", 48),
        ("ATATT3xFfGF0", 180),
        ("AKCp", 69),
        ("shpat_", 32),
        ("ghu_", 36),
        ("glrt-", 20),
        ("xapp-1-A012345-", 64),
        ("AGE-SECRET-KEY-1", 58),
        ("hvs.", 90),
        ("SK", 32),
        ("sk_live_", 24),
        ("whsec_", 32),
    ):
        shape = {"dapi": hexa, "shpat_": hexa, "SK": hexa, "sbp_": hexa}.get(prefix, run)
        vendor(prefix, shape(length).upper() if prefix.startswith("AGE") else shape(length))
    for text, length in (
        ("spring.datasource.password={}", 12),
        ("      POSTGRES_PASSWORD: {}", 14),
        ('  db_password = "{}"', 12),
        ("PGPASSWORD={} psql -h db", 12),
        ("redis://:{}@cache:6379/0", 16),
        ('<user name="a" password="{}"/>', 12),
        ("CREATE USER a IDENTIFIED BY '{}';", 12),
        ("define('DB_PASSWORD', '{}');", 12),
        ("mysql -u root -p{} shop", 12),
        ('curl -H "X-Auth-Token: {}" https://x.example', 24),
        ('{{"passphrase": "{}"}}', 16),
        ("db:5432:shop:svc:{}", 14),
        ("AccountName=a;AccountKey={};EndpointSuffix=x", 64),
        ("https://x.example/c?sv=1&sig={}", 43),
        ("SECRET_KEY = 'django-insecure-{}'", 30),
        ("auth_token: {}", 20),
        ("--api-key {} --verbose", 24),
        ("Authorization: token {}", 40),
        ("smtp://me:{}@mail.example:587", 14),
        ("ftp_pass = {}", 12),
        ("  token: {}", 32),
        ("CLIENT_SECRET={}", 32),
        ('os.environ["API_TOKEN"] = "{}"', 30),
        ("Password: {}", 10),
        ("x-goog-api-key: {}", 39),
        ("secret_access_key: {}", 40),
    ):
        secret = run(length - 2) + "7q"
        rows.append(("keyword context", text.format(secret), secret))
    for kind, indent in (("", ""), ("EC ", "  "), ("OPENSSH ", "    "), ("ENCRYPTED ", "| "), ("DSA ", "# ")):
        text, middle = block(kind, indent)
        rows.append(("private key", f"before\n{text}\nafter", middle))
    text, middle = block("RSA ")
    rows.append(("private key", json.dumps({"type": "service_account", "private_key": text}), middle))
    rows.append(
        ("private key", "key = (\n" + "\n".join(f'    "{line}\\n"' for line in text.split("\n")) + "\n)", middle)
    )
    rows.append(("private key", text.replace("\n", "\r\n"), middle))
    rows.append(("private key", "\n".join(text.split("\n")[2:]), middle))
    for text, secret in (
        ('x = "{}"', run(40)),
        ("const k = '{}';", run(48)),
        ("value: `{}`", run(36)),
        ("K={}", run(64)),
        ('let s = "{}"', base64.b64encode(RANDOM.randbytes(33)).decode()),
        ('salt = "{}"', hexa(64)),
    ):
        rows.append(("random run", text.format(secret), secret))
    return rows


def rows_held_out() -> list[tuple[str, str, str]]:
    """Kind, text, secret. Written after the rules, which have not been changed for them one by one."""
    RANDOM.seed(20_261)
    rows: list[tuple[str, str, str]] = []
    for prefix, length in (
        ("CFPAT-", 43),
        ("patAbCdEf", 60),
        ("EAAA", 60),
        ("shippo_live_", 40),
        ("duffel_test_", 43),
        ("fo1_", 43),
        ("rnd_", 28),
        ("sk-ant-admin01-", 90),
        ("gho_", 36),
        ("xoxe.xoxp-1-", 120),
        ("glsoat-", 20),
        ("npm_", 36),
        ("lin_oauth_", 40),
        ("pul-", 40),
        ("oy2", 43),
        ("CLOJARS_", 60),
        ("SG.", 66),
        ("ghs_", 36),
        ("hf_", 34),
        ("AccessKey-", 30),
    ):
        value = run(length)
        rows.append(("vendor form", f"curl --data {prefix}{value} x", value))
    for text, length in (
        ("jdbc.password = {}", 12),
        ("RABBITMQ_DEFAULT_PASS={}", 12),
        ('    "adminPassword": "{}",', 14),
        ("wifi_psk={}", 16),
        ("ansible_become_pass: {}", 12),
        ("mongodb+srv://svc:{}@c.example.net/db", 14),
        ("amqp://me:{}@mq:5672/", 12),
        ("bindpw {}", 12),
        ("requirepass {}", 20),
        ('<add key="ApiSecret" value="{}"/>', 24),
        ("X-Vault-Token: {}", 26),
        ("docker login -u me -p {} r.example", 14),
        ("openssl enc -k {} -in a", 14),
        ("token = '{}' # rotate", 28),
        ("ENV APP_SECRET {}", 24),
        ("net use z: \\\\h\\s /user:me {}", 12),
        ('Basic realm; api_key="{}"', 24),
        ("let apiKey = `{}`", 32),
        ("wget --password={} https://x.example", 12),
        ("echo {} | sudo -S id", 12),
    ):
        secret = run(length - 2) + "4z"
        rows.append(("keyword context", text.format(secret), secret))
    for text in ("key='{}'", 'data = ["{}"]', "Q={}", '"{}",'):
        secret = run(44)
        rows.append(("random run", text.format(secret), secret))
    text, middle = block("RSA ", "\t")
    rows.append(("private key", f"    - |\n{text}", middle))
    rows.append(("private key", f'PRIVATE="{text}"', middle))
    rows.append(("private key", "diff\n" + "\n".join("+" + line for line in text.split("\n")), middle))
    return rows


def rows_tuned() -> list[tuple[str, str, str]]:
    """Kind, text, secret of what the rules were written against."""
    vendor = [("vendor form", secret, secret) for secrets in VENDOR.values() for secret in secrets]
    context = [("keyword context", text, secret) for text, secret in CONTEXT if secret]
    return [*vendor, *context, *rows_tuned_since()]


SHA = hashlib.sha256(b"x").hexdigest()
HONEST_HELD_OUT: tuple[tuple[str, str], ...] = (
    *(
        ("digests and ids", text)
        for text in (
            f"{SHA}  dist/app.tar.gz",
            f'checksum = "{SHA}"',
            f"    --hash=sha256:{SHA} \\",
            f"FROM python@sha256:{SHA}",
            f"commit {SHA[:40]} (HEAD -> main)",
            "id: 6f1c2d3e-4b5a-4978-8877-665544332211",
            f'ETag: "{SHA[:32]}"',
            f"git checkout {SHA[:12]}",
            f'"resolved": "https://r.example/a-1.0.tgz#{SHA[:40]}"',
            f"asset-{SHA[:8]}.js",
            "arn:aws:iam::123456789012:role/deploy-role",
            f"kid = '{SHA[:32]}'",
            "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
            f"integrity sha384-{base64.b64encode(hashlib.sha384(b'x').digest()).decode()}",
        )
    ),
    *(
        ("code", text)
        for text in (
            "csrf_token = get_token(request)",
            "tokenizer = AutoTokenizer.from_pretrained('bert-base')",
            "max_tokens=4096,",
            "PASSWORD_MIN_LENGTH = 12",
            "SELECT password FROM users WHERE id = ?",
            "if not secret: raise MissingSecret()",
            'api_key_header = "X-API-Key"',
            'token_type: "bearer"',
            "secretName: my-app-tls",
            "key: password",
            "def login(user, password):",
            'parser.add_argument("--password", help="the password")',
            "const token = await auth.getToken();",
            "password: z.string().min(8),",
            "private readonly tokenService: TokenService",
            "  secretKeyRef:\n    name: db\n    key: password",
            "self.token = token",
            "return jwt.encode(payload, secret, algorithm='HS256')",
            "auth: required",
            "secrets.token_urlsafe(32)",
            "password_field.send_keys(password)",
            "assert response.json()['token']",
            "TOKEN_URL = 'https://x.example/oauth/token'",
        )
    ),
    *(
        ("texts", text)
        for text in (
            '"password": "Passwort",',
            '"password": "Mot de passe"',
            '<input type="password" name="password">',
            "Enter your password: it needs twelve characters.",
            "The token is a string that you get from the settings page.",
            "Set API_KEY to your key, e.g. API_KEY=<your key>.",
            "password = <secret>",
            "See the section on secrets: how to rotate them.",
            "The access token expires after 3600 seconds.",
            "token: see docs/tokens.md",
            "Authorization: Bearer <token>",
            "export API_KEY=$MY_KEY",
            "PASSWORD=${DB_PASSWORD:?missing}",
            "https://user@example.com/a/b",
            "mailto:me@example.com",
        )
    ),
)


def found(text: str, secret: str) -> bool:
    """Whether redaction leaves nothing usable of *secret*: at most a quarter of it in one piece."""
    shown = Redactor().redact(text).text
    part = max(6, len(secret) // 4)
    return not any(secret[at : at + part] in shown for at in range(len(secret) - part + 1))


def render_recall() -> str:
    """The tables of `docs/exposure.md`."""
    lines = ["| secrets | tuned: found | held out: found |", "| --- | --- | --- |"]
    parts = [_tally((kind, found(text, secret)) for kind, text, secret in rows) for rows in (rows_tuned(), HELD_OUT)]
    for kind in dict.fromkeys(kind for kind, _, _ in HELD_OUT):
        lines.append(f"| {kind} | {_of(parts[0][kind])} | {_of(parts[1][kind])} |")
    together = [[found for kind in part.values() for found in kind] for part in parts]
    lines.append(f"| together | {_of(together[0])} | {_of(together[1])} |")
    honest = _tally((kind, Redactor().redact(text).text != text) for kind, text in HONEST_HELD_OUT)
    tuned = [Redactor().redact(text).text != text for text in SURVIVES]
    lines += ["", "| honest lines | changed without need |", "| --- | --- |", f"| tuned, all kinds | {_of(tuned)} |"]
    lines += [f"| held out, {kind} | {_of(hits)} |" for kind, hits in honest.items()]
    return "\n".join(lines) + "\n"


def render_missed() -> str:
    """What of the held-out part goes wrong: forms only, the values are drawn at random anyway."""
    missed = [text for _, text, secret in HELD_OUT if not found(text, secret)]
    changed = [text for _, text in HONEST_HELD_OUT if Redactor().redact(text).text != text]
    shown = [text if len(text) <= 70 else f"{text[:67]}..." for text in (*missed, "", *changed)]
    return "```text\n" + "\n".join(line.replace("\n", " ") or "-- changed without need:" for line in shown) + "\n```\n"


def render_denied() -> str:
    """The table of `policy.denied_names.DENIED_NAMES`."""
    rows = [f"| {what} | {', '.join(f'`{glob}`' for glob in globs)} |" for what, globs in DENIED_NAMES.items()]
    return "| what | names |\n| --- | --- |\n" + "\n".join(rows) + "\n"


def _tally(rows: object) -> dict[str, list[bool]]:
    tally: dict[str, list[bool]] = defaultdict(list)
    for kind, hit in rows:  # type: ignore[attr-defined]
        tally[kind].append(hit)
    return tally


def _of(hits: list[bool]) -> str:
    return f"{sum(hits)} of {len(hits)}" if hits else "-"


HELD_OUT = rows_held_out()
