"""What settings give to a provider, without settings."""

from apiproxy.core.values import Secret
from apiproxy.credentials.static import StaticSource
from apiproxy.providers.base import Credential, Provider
from apiproxy.providers.blueprint import Blueprint, Given, Text


def given_to(blueprint: Blueprint, **values: str) -> Given:
    """What a blueprint is given when its variables have these values."""
    texts, secrets = {}, {}
    for variable in blueprint.variables:
        value = variable.clean(values.pop(variable.label, ""))
        if value and variable.secret:
            secrets[variable.label] = StaticSource(Secret(value.encode()))
        elif value:
            texts[variable.label] = Text(value, variable.label)
    assert not values, f"{blueprint.name} does not read {values}"
    return Given(
        port=1,
        texts=texts,
        secrets=secrets,
        new_id=lambda: "new-id",
    )


def made(blueprint: Blueprint, **values: str) -> Provider:
    """A provider made from these values, which must not be a problem."""
    given = given_to(blueprint, **values)
    provider = blueprint.build(given)
    assert not given.problems, given.problems
    return provider


def sent(credential: Credential | None) -> tuple[bytes, bytes] | None:
    """The header line of a credential."""
    return None if credential is None else credential.field()
