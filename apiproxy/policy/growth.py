"""A response that has used more than was set aside for it.

Its claim grows with it, and what it takes beyond the claim it takes from what others may have.
"""

from collections.abc import Iterable

from msgspec import structs

from apiproxy.policy.ledger import Claim, Entry, Shortage


def beyond(claim: Claim, so_far: Iterable[Entry]) -> list[Entry]:
    """What a response has used more than was set aside for it."""
    aside = {(each.account, each.measure): each.amount for each in claim.entries}
    return [
        structs.replace(each, amount=more)
        for each in so_far
        if (more := each.amount - aside.get((each.account, each.measure), 0)) > 0
    ]


def grown(claim: Claim, so_far: Iterable[Entry]) -> Claim:
    """The claim with at least what the response has used."""
    used = {(each.account, each.measure): each.amount for each in so_far}
    entries = (
        structs.replace(
            each, amount=max(each.amount, used.get((each.account, each.measure), 0))
        )
        for each in claim.entries
    )
    return structs.replace(claim, entries=tuple(entries))


def with_own(shortage: Shortage, so_far: Iterable[Entry]) -> Shortage:
    """The shortage with what the response itself has used as spent, where that is it.

    As long as only what others have set aside is in the way, trying again may help.
    """
    standing, cap = shortage.standing, shortage.entry.cap or 0
    for each in so_far:
        if (each.account, each.measure) == (standing.account, standing.measure):
            spent = standing.spent + each.amount
            if not shortage.final and spent >= cap:
                return Shortage(shortage.entry, structs.replace(standing, spent=spent))
    return shortage
