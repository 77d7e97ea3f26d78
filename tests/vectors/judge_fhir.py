"""Reads an exported Bundle with PyPI `fhir.resources` (FHIR R5) and decides by the rules of R5 alone: the base decision, and provisions
each of which negates the level above where all that it says matches (hl7.org/fhir/R5/consent.html).

usage: judge_fhir.py   < {"bundle", "asks": [{"actor", "purpose", "at", "category", "sensitivity", "path"}]}

Prints for each ask the list of treatments at which some active resource permits it; a modifier extension that is not known here takes
its provision out.
"""

import datetime
import json
import sys

from fhir.resources.bundle import Bundle

MATCH, TREATMENT, DPV = "urn:x-twinveil:match", "urn:x-twinveil:treatment", "https://w3id.org/dpv#"


def instant(value):
    return value if isinstance(value, datetime.datetime) else datetime.datetime.fromisoformat(value)


def during(period, at):
    return period is None or (period.start is None or instant(period.start) <= at) and (period.end is None or at < instant(period.end))


def meant(concept, ask):
    """Whether a field is one of those that a code names."""
    for coding in concept.coding:
        if coding.system != MATCH:
            continue
        head, found, path = coding.code.partition("selector=")
        words = dict(word.split("=", 1) for word in head.split(";") if word)
        below = ask["path"] == path or ask["path"].startswith((path + ".", path + "["))
        return all(ask[kind] == word for kind, word in words.items()) and (not found or below)
    raise ValueError("a code without a match")


def applies(provision, ask):
    actors = [actor.reference.identifier.value for actor in provision.actor or []]
    purposes = [coding.code for coding in provision.purpose or [] if coding.system == DPV]
    return (
        during(provision.period, instant(ask["at"]))
        and (not actors or ask["actor"] in actors)
        and (not purposes or ask["purpose"] in purposes)
        and (not provision.code or any(meant(code, ask) for code in provision.code))
    )


def excepted(provision, ask):
    return any(applies(inner, ask) and not excepted(inner, ask) for inner in provision.provision or [])


def treatment(provision):
    found = "keep"
    for extension in provision.modifierExtension or []:
        if extension.url != TREATMENT:
            return None
        found = extension.valueCodeableConcept.text
    return found


def decide(consent, ask):
    assert consent.decision == "deny", "what is not permitted is denied"
    if consent.status != "active":
        return set()
    permits = [provision for provision in consent.provision if applies(provision, ask) and not excepted(provision, ask)]
    return {treatment(provision) for provision in permits} - {None}


def same(one, other):
    """Equal, with instants as they are meant: fractions of a second have several forms."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    try:
        return one == other or instant(one) == instant(other)
    except (TypeError, ValueError):
        return False


def main():
    given = json.load(sys.stdin)
    bundle = Bundle.model_validate(given["bundle"])
    # Every member is one that R5 has, and means what it says: it comes out as it went in.
    assert same(json.loads(bundle.model_dump_json()), given["bundle"]), bundle.model_dump_json()
    consents = [entry.resource for entry in bundle.entry or []]
    assert all(consent.get_resource_type() == "Consent" for consent in consents)
    for ask in given["asks"]:
        permitted = set().union(*(decide(consent, ask) for consent in consents))
        print(json.dumps(sorted(permitted)))


if __name__ == "__main__":
    main()
