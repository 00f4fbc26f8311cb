"""Random bundles, valid and not, made with the independent implementation."""
import copy, json, random

import stagelab as lab

NOW = "2026-11-22T00:00:00Z"
ODD = [None, True, False, 0, 1, 2, -1, 2**53 - 1, 2**53, 2**63, "", "1", "x", "*", "prod", "2026-11-01T00:00:00Z", "2026-11-01T00:00:60Z",
       "0000-11-01T00:00:00Z", "a" * 64, "A" * 64, [], {}, [1], {"a": 1}, "\u00e9", "\x7f", "a\n", "full", "delta", "..", "a" * 300]


def spots(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from spots(value[key], path + (key,))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from spots(value[index], path + (index,))


def mutate(rng, value):
    """`value` with one thing changed, added, dropped or repeated."""
    value = copy.deepcopy(value)
    path = rng.choice([p for p in spots(value) if p])
    at = value
    for step in path[:-1]:
        at = at[step]
    last, how = path[-1], rng.randrange(5)
    if how == 0:
        del at[last]
    elif how == 1 and isinstance(at, dict):
        at[rng.choice(["x", "", "\u00e9", "a" * 257, "allow"])] = at[last]
    elif how == 1:
        at.insert(last, copy.deepcopy(at[last]))
    elif how == 2 and isinstance(at[last], str) and at[last]:
        text = at[last]
        cut = rng.randrange(len(text))
        at[last] = text[:cut] + rng.choice(["", "0", "=", "/", "A", "\u202e"]) + text[cut + 1:]
    elif how == 3 and isinstance(at[last], int):
        at[last] += rng.choice([-1, 1])
    else:
        at[last] = rng.choice(ODD)
    return value


def respell(rng, text):
    """Valid JSON of the same value, not canonical; or a damaged text."""
    text = text.decode()
    return [text + " ", text.replace(":", ": ", 1), "\ufeff" + text, text[:-1], text.replace("1", "1.0", 1),
            text.replace("a", "\\u0061", 1), text + text, text.replace("{", '{"a":1,', 1)][rng.randrange(8)].encode()


def parsed(bundle, member):
    at = 0
    while True:
        name, size = bundle[at:at + 100].rstrip(b"\0"), int(bundle[at + 124:at + 135], 8)
        if name == member:
            return json.loads(bundle[at + 512:at + 512 + size])
        at += 512 + size + (-size % 512)


def sample(rng, world):
    """A random bundle, the root to judge it by, and the time."""
    files = {rng.choice(["files/a", "b/c.txt", "@s/n/-/x.tgz", "A", "a.b"]): rng.randbytes(rng.randrange(2000)) for _ in range(rng.randrange(1, 4))}
    root, now, kw = world.root, NOW, {}
    newer = [lab.mkroot(v, world.all, world.roles) for v in (2, 3)]
    envelopes = [lab.envelope(lab.cj(r), rng.sample([world.ra, world.rb, world.rc], rng.choice([1, 2, 2, 2, 3]))) for r in newer]
    kind = rng.randrange(11)
    good = lab.build(world, files)
    if kind == 0:
        kw["stb"] = lab.cj(mutate(rng, parsed(good, b"statement.json")))
    elif kind == 1:
        kw["manb"] = lab.cj(mutate(rng, parsed(good, b"manifest.json")))
    elif kind == 2:
        root = mutate(rng, root)
    elif kind == 3:
        kw["roots"] = envelopes[:rng.randrange(3)] if rng.random() < 0.3 else mutate(rng, envelopes[:rng.randrange(1, 3)])
    elif kind == 4:
        new = mutate(rng, newer[0])
        kw["roots"] = [lab.envelope(lab.cj(new), [world.ra, world.rb])]
    elif kind == 5:
        kw["sigb"] = lab.cj(mutate(rng, parsed_slot(good)))
    elif kind == 6:
        kw["signers"] = rng.choices([world.b, world.r, world.r2, world.ra, lab.Key()], k=rng.randrange(1, 4))
    elif kind == 7:
        part = rng.choice(["stb", "manb", "rootsb", "sigb"])
        text = {"stb": b"statement.json", "manb": b"manifest.json", "rootsb": b"roots.json"}.get(part)
        kw[part] = respell(rng, lab.cj(parsed(good, text) if text else parsed_slot(good)))
    elif kind == 8:
        now = rng.choice(["2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z", "2029-01-31T23:59:59Z", "2029-02-01T00:00:00Z", "2030-01-01T00:00:00Z"])
    elif kind == 9:
        path = "".join(rng.choice("ab.-_/%3a@+~=,:\\ \0\u00e9") for _ in range(rng.randrange(1, 12)))
        files[path] = b"x"
    bundle = lab.build(world, files, **kw)
    if kind == 10:
        at, how = rng.randrange(len(bundle)), rng.randrange(3)
        bundle = [bundle[:at], bundle[:at] + bytes([rng.randrange(256)]) + bundle[at:], bundle[:at] + bytes([bundle[at] ^ (1 << rng.randrange(8))]) + bundle[at + 1:]][how]
    return kind, bundle, root, now


def parsed_slot(bundle):
    at = 0
    while bundle[at:at + 100].rstrip(b"\0") != b"signatures.json":
        size = int(bundle[at + 124:at + 135], 8)
        at += 512 + size + (-size % 512)
    return json.loads(bundle[at + 512:at + 512 + lab.SLOT])
