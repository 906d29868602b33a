"""Texts that games say, and secrets as programs leak them: of no account, made at run time."""

from __future__ import annotations

import base64
import json
import random
import string

HARMLESS = r"""
Version 10.0.0.1 of the reactor's firmware is installed. Reboot the console?
v192.168.0.1 is not a version that the lift knows; release 10.2.31.4 is.
The monitor shows: VERSION: 172.16.0.9 BUILD 4711
A:\> LOAD "C:\GAMES\SAVE1.DAT"
C:\GAMES\DOOM\SAVE3.DSG restored. C:\>DIR *.EXE
Insert disk 2 into drive B: and press any key to continue. B:\DATA\LEVEL02.MAP
The door asks for a password: OpenSesame
The parchment reads: password: OpenSesame1234567890
> say password: Xyzzy-Plugh-0042-Frotz
Enter the secret: Swordfish_Admiral_1942
The vault keeper whispers: the password is DragonSlayer99999999.
Your token: brass-token-of-the-underworld-17
secret door: north-passage-behind-waterfall-2
key: rusty-iron-key-of-the-tower-3
> unlock door with key: skeleton_key_number_42
The inscription says: the key is 5d41402abc4b2a76b9719d911017c592
MD5 of the word is 5d41402abc4b2a76b9719d911017c592. Which word is it?
SHA-256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
Puzzle: decode SGVsbG8sIHdvcmxkISBJIGFtIGEgcmlkZGxlLg== and say what it is.
The machine code reads 0xDEADBEEF 0xCAFEBABE 0x8BADF00D.
Coordinates: 51.5007, -0.1246; waypoint 40.7484405,-73.9856644 reached.
You are at (10, 0, 0, 1). Exits: n, s, e, w. HP: 100/100 MP: 42/60 XP: 1234567890
Beam me to grid 4521-8830-1190, sector 7.
It is 2187-04-12T10:00:00Z, stardate 41153.7.
b0923kzqpl [SEP] Price: $12.99 [SEP] b07dkgjr74 [SEP] sk-ii facial-treatment-essence-with-pitera
Buy Now: item_0a1b2c3d4e5f60718293a4b5c6d7e8f9 (size: 5.5 wide)
click[b09kp78g37]; search[usb-c 3.1 gen2 100w cable 10ft model a2b4c6d8e0f2]
Order #20241031-0098-77231 contains 3x SKU-8842-XL-BLK-0042.
Barcode 4006381333931, ISBN 978-3-16-148410-0, lot 20240229A
This room is called the greenhouse. In it, you see: a jug (of water), a substance called air.
The thermometer measures a temperature of 104 degrees celsius; the lever is at 0.8273645190283746.
In slot 17 of minecraft:chest you find 64 minecraft:oxidized_cut_copper_stairs.
get 2 minecraft:waxed_weathered_cut_copper_slab; craft 4 crimson_hyphae_planks_variant_2
You arrive at loc 12. On the sidetable 2, you see a cellphone 3, a keychain 2, and a pencil 1.
[Guard#4471] says: "Token accepted. Bearer of scroll-of-teleportation-level-12, you may pass."
Bearer of bad news: 12 goblins approach the camp-of-the-silver-hand.
The wizard's spellbook: sk-fireball-of-the-ancients-rank-3, hf_heal_friend, gsk_goblin_skull_key
Aragorn tells you: authorization: granted. Proceed to level 3.
<12hp 34m 56mv> look at keypad. The keypad shows 1-800-GOBLINS and the digits 4 8 15 16 23 42.
The licence plate says AKIA 42. The robot is called R2-D2-ASTROMECH-UNIT-000017.
uuid of the save slot: 123e4567-e89b-12d3-a456-426614174000
save: {"slot": 3, "room": "crypt-04", "seed": 184467440737, "hash": "a3f5c9d17e"}
{"password": "OpenSesame", "hint": "40 thieves", "attempts_left": 3}
{"action": "use", "key": "bronze_key_07", "target": "door_12_north_wing"}
AUTHOR=Infocom; SERIAL=840726; the zork1.z5 story file, release 88, checksum a129
The safe's combination: 10-24-36. Secret level unlocked: WORLD -1
NPC_TOKEN: goblin_king_12; QUEST_TOKEN=12 of 20; PLAYER_PASS=gold_tier
serial key: XKCD-1234-ABCD-5678; activation key = 7F3K9-QWERT-2M4N6-ZXCVB
{"user_id": "player_0001_of_the_guild", "session_key": "room-12-north", "boss_key": "dungeon_3"}
login: falken  password: Joshua5. PASSWORD: PENCIL83. user_password: swordfish1
checksum key: 1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6d
Wordle 1,042 4/6: ADIEU, STORK, GHOST; key press: KeyW, KeyA; turkey: roasted2times
""".strip().splitlines()

LETTERS, DIGITS = string.ascii_letters, string.digits
SEED = 20261126


def secrets() -> dict[str, tuple[str, str]]:
    """By name: a text with a secret in it, and the secret."""
    rng = random.Random(SEED)

    def some(count: int, letters: str = LETTERS + DIGITS) -> str:
        while True:
            drawn = "".join(rng.choices(letters, k=count))
            if any(c in DIGITS for c in drawn) or not set(letters) & set(DIGITS):
                return drawn

    def b64(count: int) -> str:
        return base64.b64encode(rng.randbytes(count)).decode()

    jwt = ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890"}', rng.randbytes(32))
    )
    hexes, upper = "0123456789abcdef", string.ascii_uppercase + "234567"
    cases = {
        "camel-case key in JSON": ('{{"apiKey": "{}"}}', some(32)),
        "camel-case access token in JSON": ('{{"accessToken": "{}", "n": 1}}', some(40)),
        "camel-case client secret in JSON": ('{{"clientSecret":"{}"}}', some(24)),
        "camel-case password in JSON": ('{{"dbPassword": "{}"}}', "Winter" + some(4, DIGITS) + "!"),
        "camel-case secret key in JSON": ('{{"secretAccessKey": "{}"}}', some(40)),
        "refresh token in JSON": ('{{"refresh_token": "{}"}}', some(48)),
        "camel-case refresh token": ('{{"refreshToken": "{}"}}', some(44)),
        "Google refresh token": ('"refresh_token": "{}"', "1//0" + some(60)),
        "key in JSON in JSON": ('{{\\"apiKey\\": \\"{}\\"}}', some(32)),
        "password in JSON, random": ('{{"password": "{}"}}', some(18)),
        "DB_PASS": ("DB_PASS={}", "hunter" + some(3, DIGITS)),
        "DB_PASSWORD, quoted": ('export DB_PASSWORD="{}"', some(14)),
        "POSTGRES_PASSWORD, YAML": ("POSTGRES_PASSWORD: {}", some(16)),
        "API_TOKEN": ("MY_API_TOKEN={}", some(32)),
        "SECRET_KEY_BASE": ("SECRET_KEY_BASE={}", some(64, hexes)),
        "api key in YAML": ("api_key: {}", some(32, hexes)),
        "aws_secret_access_key": ("aws_secret_access_key = {}", some(40)),
        "Azure SAS": ("https://x.blob.core.windows.net/c?sv=2024-05-04&sp=r&sig={}",
                      b64(32).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")),
        "Azure account key": ("DefaultEndpointsProtocol=https;AccountKey={}", b64(64)),
        "Azure AD client secret": ("client_secret={}", some(3) + "8Q~" + some(34)),
        "URL with a password": ("postgres://reader:{}@db.example.com/rows", some(12)),
        "basic authorization": ("Authorization: Basic {}", b64(18)),
        "bearer": ("authorization: Bearer {}", some(40)),
        "JSON web token": ("token {}", jwt),
        "private key": ("{}", "-----BEGIN RSA " + "PRIVATE KEY-----\n" + b64(64)),
        "Hugging Face": ("huggingface-cli login --token {}", "hf_" + some(34, LETTERS)),
        "OpenAI": ("{}", "sk-" + "proj-" + some(48)),
        "Anthropic": ("key {}", "sk-" + "ant-api03-" + some(80) + "AA"),
        "Groq": ("{}", "gsk_" + some(52)),
        "GitHub": ("git clone with {}", "ghp_" + some(36)),
        "GitHub, fine-grained": ("{}", "github_" + "pat_" + some(82)),
        "GitLab": ("{}", "glpat-" + some(20)),
        "AWS": ("id {} here", "AKIA" + some(16, upper)),
        "Google": ("?key={}", "AIza" + some(35)),
        "Slack": ("{}", f"xoxb-{some(12, DIGITS)}-{some(12, DIGITS)}-{some(24)}"),
        "Slack webhook": ("https://{}", f"hooks.slack.com/services/T{some(8)}/B{some(32)}"),
        "Stripe": ("{}", "sk_" + "live_" + some(24)),
        "npm": ("//registry.npmjs.org/:_authToken={}", "npm_" + some(36)),
        "PyPI": ("{}", "pypi-" + "AgEIcHlwaS5vcmc" + some(60)),
        "SendGrid": ("{}", f"SG.{some(22)}.{some(43)}"),
        "Telegram": ("bot{}", f"{some(9, DIGITS)}:AA{some(33)}"),
        "Twilio": ("{}", "SK" + some(32, hexes)),
        "DigitalOcean": ("{}", "dop_v1_" + some(64, hexes)),
        "Databricks": ("{}", "dapi" + some(32, hexes)),
        "Vault": ("{}", "hvs." + some(95)),
        "Datadog": ("datadog_api_key = '{}'", some(40, hexes)),
        "Mailchimp": ("mailchimp_key: '{}'", some(32, hexes) + "-us20"),
        "Shopify": ("{}", "shpat_" + some(32, hexes)),
        "1Password": ("{}", "-".join(("A3", *(some(n, upper) for n in (6, 11, 5, 5, 5))))),
        "session cookie": ("Set-Cookie: session_token={}; Path=/", some(64)),
    }  # fmt: skip
    return {name: (text.format(secret), secret) for name, (text, secret) in cases.items()}


PERSONAL = {
    "email-address": ("write to {} about it", "anna.kowalska" + "@mail.example.org"),
    "email-address, in JSON": (json.dumps({"contact": "{}"}), "j.doe+shop" + "@example.co.uk"),
    "phone-number": ("call {} now", "+44 20 7946 0958"),
    "phone-number, of the US": ("call {}.", "(212) 555-0147"),
    "card-number": ("paid with {}.", "4111 1111 " + "1111 1111"),
    "card-number, without spaces": ("card: {}", "55555555" + "55554444"),
    "card-number, of Amex": ("card: {}", "3782 822463" + " 10005"),
    "bank-account": ("to {} please", "DE89 3704 0044 0532 0130 00"),
    "private-address": ("at http://{}:8000/v1", "192.168.0.10"),
    "private-host": ("http://{}:8000", "llm.prod.internal"),
}
