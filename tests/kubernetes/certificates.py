"""An authority of a cluster's own, an administrator's certificate and the key that signs tokens."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """Files of one directory, good for a day."""

    ca: Path
    ca_key: Path
    admin: Path
    admin_key: Path
    account_key: Path
    account_public: Path


def make_certificates(directory: Path) -> Certificates:
    directory.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(_name("lectern-test"), ca_key, _name("lectern-test"), ca_key, is_ca=True)
    admin_key = ec.generate_private_key(ec.SECP256R1())
    admin = _certificate(_name("admin", "system:masters"), admin_key, ca.subject, ca_key)
    account = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    made = Certificates(
        *(directory / name for name in ("ca.crt", "ca.key", "admin.crt", "admin.key", "sa.key", "sa.pub"))
    )
    made.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.admin.write_bytes(admin.public_bytes(serialization.Encoding.PEM))
    for path, key in ((made.ca_key, ca_key), (made.admin_key, admin_key), (made.account_key, account)):
        path.touch(0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
    public = account.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    made.account_public.write_bytes(public)
    return made


def _name(common: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if organisation:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    is_ca: bool = False,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    return builder.sign(issuer_key, hashes.SHA256())
