"""The demo shop's users: names of several cultures, addresses, and the password that the documentation shows."""

from __future__ import annotations

import base64
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import bcrypt
import numpy as np

DEMO_PASSWORD = "demo-shop"  # of every user; this shop holds nothing worth protecting
BCRYPT_ROUNDS = 4  # the fewest that bcrypt allows, 1 ms a hash; a real shop takes 12
DOMAIN = "example.com"  # reserved for examples, so that no mail is delivered
ADMIN_EMAIL = f"admin@{DOMAIN}"

_GIVEN_F, _GIVEN_M, _FAMILY, _TOWN = range(4)
# Female and male given names, family names, towns; one row for each culture.
CULTURES = (
    (
        "Olivia Amelia Grace Chloe Ruby Evie",
        "Oliver Harry Jack Noah Arthur Leo",
        "Smith Taylor Walker Hughes Bennett Clarke",
        "Leeds Bristol York",
    ),
    (
        "Linh Mai Hương Thảo Trang Ngọc",
        "Minh Tuấn Dũng Khoa Hải Đức",
        "Nguyễn Trần Lê Phạm Hoàng Vũ",
        "Hanoi Huế Đà-Nẵng",
    ),
    (
        "Hannah Lena Marie Clara Johanna Greta",
        "Paul Jonas Felix Lukas Emil Anton",
        "Müller Schmidt Weber Krüger Voß Lehmann",
        "Leipzig Kiel Ulm",
    ),
    (
        "Lucía Sofía Carmen Elena Inés Alba",
        "Hugo Mateo Pablo Diego Álvaro Javier",
        "García Martínez López Núñez Romero Ortega",
        "Sevilla Oviedo León",
    ),
    (
        "Camille Léa Manon Jeanne Zoé Inès",
        "Louis Gabriel Hugo Théo Étienne Rémi",
        "Martin Bernard Dubois Lefèvre Moreau Girard",
        "Lyon Nantes Lille",
    ),
    (
        "Yui Aoi Hina Sakura Mio Rin",
        "Haruto Sota Yuto Ren Kaito Daiki",
        "Sato Suzuki Takahashi Tanaka Watanabe Ito",
        "Sapporo Kobe Nara",
    ),
    (
        "Ananya Priya Diya Kavya Meera Isha",
        "Arjun Vihaan Rohan Aditya Kabir Nikhil",
        "Sharma Patel Iyer Reddy Gupta Nair",
        "Pune Kochi Jaipur",
    ),
    (
        "Adaeze Chioma Folake Ngozi Temitope Zainab",
        "Chinedu Emeka Tunde Obinna Segun Ibrahim",
        "Okafor Adeyemi Balogun Eze Okonkwo Bello",
        "Lagos Enugu Ibadan",
    ),
    (
        "Layla Fatima Noor Salma Yasmin Huda",
        "Omar Yusuf Karim Hassan Tariq Sami",
        "Haddad Khoury Mansour Nasser Saleh Aziz",
        "Amman Tunis Rabat",
    ),
    (
        "Zofia Hanna Maja Łucja Oliwia Agnieszka",
        "Jakub Szymon Michał Łukasz Piotr Tomasz",
        "Nowak Kowalski Wiśniewski Zieliński Wójcik Lis",
        "Kraków Gdynia Łódź",
    ),
    (
        "Mariana Beatriz Larissa Júlia Letícia Camila",
        "João Pedro Thiago Rafael Caio André",
        "Silva Santos Oliveira Souza Pereira Araújo",
        "Recife Curitiba Belém",
    ),
    ("Mei Xiu Lan Jing Yan Ting", "Wei Jun Hao Ming Lei Tao", "Wang Li Zhang Chen Liu Zhao", "Chengdu Xiamen Dalian"),
    (
        "Freja Ida Astrid Sigrid Ebba Maja",
        "Lars Nils Søren Erik Mikkel Aksel",
        "Hansen Johansson Lindqvist Sørensen Berg Dahl",
        "Bergen Aarhus Lund",
    ),
)
STREETS = (
    "Harbour Street",
    "Mill Lane",
    "Station Road",
    "Garden Row",
    "Castle Hill",
    "Market Square",
    "Orchard Way",
    "Bridge Street",
)


@dataclass(frozen=True)
class Person:
    """A user's account. What the user likes is in `demo.tastes`.

    Attributes:
        id: From 1.
        first_name: In its own spelling.
        last_name: In its own spelling.
        email: Unique, in lower case ASCII.
        gender: M, FE or O, as the shop's codes have it.
        address: Street and town.
    """

    id: int
    first_name: str
    last_name: str
    email: str
    gender: str
    address: str


def make_people(rng: np.random.Generator, n: int) -> tuple[Person, ...]:
    """Return `n` people; a number makes the e-mail addresses of equal names unique."""
    accounts: Counter[str] = Counter()
    people = []
    for number in range(1, n + 1):
        culture = CULTURES[rng.integers(len(CULTURES))]
        female = rng.random() < 0.52
        first = _pick(rng, culture[_GIVEN_F if female else _GIVEN_M])
        last, town = _pick(rng, culture[_FAMILY]), _pick(rng, culture[_TOWN]).replace("-", " ")
        gender = "O" if rng.random() < 0.02 else "FE" if female else "M"
        address = f"{rng.integers(1, 180)} {STREETS[rng.integers(len(STREETS))]}, {town}"
        account = f"{ascii_name(first)}.{ascii_name(last)}"
        accounts[account] += 1
        suffix = str(accounts[account]) if accounts[account] > 1 else ""
        people.append(Person(number, first, last, f"{account}{suffix}@{DOMAIN}", gender, address))
    return tuple(people)


def administrator(number: int) -> Person:
    """Return the shop's administrator, who buys nothing."""
    return Person(number, "Shop", "Admin", ADMIN_EMAIL, "O", f"1 {STREETS[0]}, Hanoi")


def _pick(rng: np.random.Generator, words: str) -> str:
    choices = words.split()
    return choices[rng.integers(len(choices))]


def ascii_name(name: str) -> str:
    """Return a name in the letters of an e-mail address.

    >>> ascii_name("Đức"), ascii_name("Łucja"), ascii_name("Voß"), ascii_name("Søren")
    ('duc', 'lucja', 'voss', 'soren')
    """
    # These letters are not a base letter and an accent, so decomposition leaves them whole.
    letters: dict[str | int, str | int | None] = {"đ": "d", "ł": "l", "ß": "ss", "ø": "o"}
    spelled = name.lower().translate(str.maketrans(letters))
    return unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode("ascii")


def password_hashes(rng: np.random.Generator, n: int) -> Iterator[str]:
    """Yield `n` bcrypt hashes of DEMO_PASSWORD, each with its own salt from the generator."""
    secret = DEMO_PASSWORD.encode("ascii")
    for _ in range(n):
        yield bcrypt.hashpw(secret, _salt(rng.bytes(16))).decode("ascii")


def _salt(raw: bytes) -> bytes:
    """Return 16 bytes in bcrypt's notation, which is base64 with another alphabet and no padding."""
    usual = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    bcrypts = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    text = base64.b64encode(raw).rstrip(b"=").translate(bytes.maketrans(usual, bcrypts))
    return b"$2b$%02d$" % BCRYPT_ROUNDS + text
