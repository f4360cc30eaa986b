"""Bodies of second factors."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from libs.common.web.schemas import Body, Identifier, PlainText, Stripped, Uri
from services.identity.schemas import Password, example

Otp = Annotated[Identifier, StringConstraints(min_length=1, max_length=32), Stripped]


class OtpRequest(Body):
    otp: Otp = Field(description="what the authenticator shows")

    model_config = example(otp="492039")


class SecondFactorRequest(Body):
    password: Password
    otp: Otp = Field(description="of the authenticator, or a recovery code")

    model_config = example(password="Learn-together-1", otp="492039")


class SecondFactorRead(BaseModel):
    """For the authenticator: to be typed, followed or scanned. A login asks for nothing before `confirm/`."""

    secret: Identifier = Field(description="base 32", examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    otpauth_url: Uri = Field(
        examples=["otpauth://totp/Lectern:ada%40lectern.example?secret=JBSWY3DPEHPK3PXP&issuer=Lectern"]
    )
    qr_svg: PlainText = Field(description="the same URL as a QR code", examples=["<svg …></svg>"])


class RecoveryCodesRead(BaseModel):
    """Shown once. Each stands in for the authenticator one time."""

    recovery_codes: list[Identifier] = Field(examples=[["4k7vd-9m2qx", "t0zha-81bnr"]])
