"""What pages name is there: files, routes, variables, tables of SQL; and the index has every page."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from fnmatch import fnmatch
from pathlib import Path

import pytest

from recsys.settings import load_settings
from recsys.store import connect, item_of_handle, product_cards, read_catalogue, read_interactions
from tests.helpers.commands import HISTORY, ROUTES, variables_of_the_code
from tests.helpers.documents import PAGES, blocks, links_of, named, prose, spans
from tests.helpers.entry_points import ROOT

NOW = [page for page in PAGES if page != HISTORY]
of_each_page = pytest.mark.parametrize("page", NOW, ids=named)
INDEX = ROOT / "docs/README.md"
ROWS = re.findall(r"^\| \[[^\]]+\]\(([^)]+)\) \| (.+?) \| (.+) \|$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)

# Where blocks of a language are read by a test. Blocks without one, and of a shell, are in test_commands.py.
LANGUAGES = {
    "js": {"docs/PROTOCOL.md": "test_node_client.py", "backend/README.md": "test_names.py"},
    "json": {"docs/PROTOCOL.md": "test_pages.py"},
    "mermaid": {
        "README.md": "test_vietnamese.py",
        "README.vi.md": "test_vietnamese.py",
        "docs/ARCHITECTURE.md": "test_architecture_page.py",
    },
    "python": {"docs/SHOP.md": "../training/test_hooks.py"},
    "sql": dict.fromkeys(["docs/OPERATIONS.md", "docs/OPERATIONS.vi.md"], "test_operations.py"),
    "toml": {
        "README.md": "test_names.py",
        "README.vi.md": "test_vietnamese.py",
        "docs/SHOP.md": "test_names.py",
        "docs/TRACKING.md": "../store/test_tracked_source.py",
    },
}
LANGUAGES["toml"]["docs/EXPERIMENTS.md"] = "../settings/test_experiments.py"
LANGUAGES["toml"]["docs/SHOPS.md"] = "../store/test_presets.py"
A_PATH = re.compile(r"(?![/.]*$)[\w.-]*/[\w./*-]*|[\w-]+\.(?:py|js|ts|md|sql|toml|json|txt|h5|mmd|sh)")
MADE_LATER = [  # what a reader, training, a build or the server makes
    *("recsys.toml", "data/*", "models/*", "*dist", "dist/*", "assets/", "*.h5", "evaluation/", "database.json"),
    *("backups/*", "backup.json", "encoders.json", "metrics.json", "version/*"),
    *("logs/*", "my_shop/*", "lists/*", "progress.json", "segment.txt", "part-*"),
    *("recsys/*/name.py", "recsys/store/drivers/name.py"),
    *("recsys/*/name.py", "recsys/store/drivers/name.py", "backups/*", "logs/*"),
]
INSIDE = ("", "src", "dev")  # folders of a package that its page leaves out
TABLES = """
CREATE TABLE page_views (visitor_id INTEGER, sku TEXT, seen_at TEXT);
CREATE TABLE activity (member_id INTEGER, product_id TEXT, kind TEXT, happened_at TEXT, activity_id INTEGER,
  device TEXT, visit TEXT, pieces INTEGER);
CREATE TABLE orders (id INTEGER, customer_id INTEGER, placed_at TEXT, state TEXT, channel TEXT);
CREATE TABLE order_lines (id INTEGER, order_id INTEGER, sku TEXT, "customerId" INTEGER, product_id TEXT,
  placed_at TEXT, is_test INTEGER, status TEXT, quantity INTEGER);
CREATE TABLE articles (sku TEXT, state TEXT, category TEXT, maker TEXT, price REAL, title TEXT, sellable INTEGER,
  cents INTEGER, group_id INTEGER);
CREATE TABLE article_groups (id INTEGER, title TEXT);
INSERT INTO page_views VALUES (7, 'P-1', '2026-01-01 10:00:00');
INSERT INTO activity VALUES (7, 'P-1', 'view', '2026-01-01 10:00:00', 1, 'mobile', 'a', 1);
INSERT INTO orders VALUES (1, 7, '2026-01-02 10:00:00', 'sent', 'web');
INSERT INTO order_lines VALUES (1, 1, 'P-1', 7, 'P-1', '2026-01-02 10:00:00', 0, 'paid', 1);
INSERT INTO articles VALUES ('P-1', 'on sale', 'tea', 'Nord', 2.5, 'Tea', 1, 250, 1);
INSERT INTO article_groups VALUES (1, 'tea')
"""
MAPPINGS = [
    pytest.param(block.text, id=f"{named(page)}:{block.lines.start + 1}")
    for page in NOW
    for block in blocks(page.read_text(encoding="utf-8"))
    if block.language == "toml"
    and re.search(r"^\[\[sources\]\]|^\[products\]|^\[shop\.cards\]", block.text, re.MULTILINE)
]


@of_each_page
def test_each_block_is_of_a_language_that_a_test_reads(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        kind = (block.language or "").partition(" ")[0]
        if kind not in ("", "sh"):
            assert named(page) in LANGUAGES.get(kind, {}), (
                f"add line {block.lines.start + 1} to a test, and to LANGUAGES"
            )
            assert (ROOT / "tests/docs" / LANGUAGES[kind][named(page)]).is_file()


@of_each_page
def test_no_span_of_code_is_broken_across_lines(page: Path) -> None:
    lines = prose(page.read_text(encoding="utf-8"))

    assert [line for line in lines if line.count("`") % 2] == []


@of_each_page
def test_the_paths_of_a_page_lead_to_files(page: Path) -> None:
    lost = []
    for number, line in enumerate(prose(page.read_text(encoding="utf-8")), 1):
        for word in " ".join(spans(line)).split():
            if not A_PATH.fullmatch(word) or word.startswith("/") or any(fnmatch(word, made) for made in MADE_LATER):
                continue
            places = [ROOT, page.parent, *(ROOT / "backend" / inside for inside in INSIDE)]
            places += [page.parent / inside for inside in INSIDE]
            if not any((place / word).exists() for place in places):
                lost.append(f"{named(page)}:{number}: {word}")

    assert lost == [], "mend the path, or add what is made later to MADE_LATER"


@of_each_page
def test_the_routes_of_a_page_are_those_of_the_server(page: Path) -> None:
    paths = {path for _, path in ROUTES}
    for span in [span for line in prose(page.read_text(encoding="utf-8")) for span in spans(line)]:
        asked = re.fullmatch(r"(GET|POST|PUT|PATCH|DELETE) (/[^?\s]*)\S*", span)
        if asked:
            assert (asked[1], asked[2]) in ROUTES, f"{named(page)}: {span}"
        elif re.fullmatch(r"/api/[\w/:-]+", span):
            assert span.replace("/api/recommend/", "/api/recommendations/") in paths, f"{named(page)}: {span}"


@of_each_page
def test_the_variables_of_a_page_are_those_of_the_code(page: Path) -> None:
    text = "\n".join(span for line in prose(page.read_text(encoding="utf-8")) for span in spans(line))

    assert set(re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b", text)) - variables_of_the_code() == set()


@pytest.mark.parametrize("text", MAPPINGS)
def test_the_mappings_of_pages_read_a_shop_with_such_tables(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shop.sqlite"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(TABLES)
    (tmp_path / "recsys.toml").write_text(text, encoding="utf-8")
    settings = load_settings({"DATABASE_URL": f"sqlite:///{file}"}, tmp_path)
    with connect(settings.database_url) as db:
        if "[[sources]]" in text:
            events, _ = read_interactions(db, settings.shop)
            assert set(events.users.tolist()) == {7}
            assert len(events.items) == len(settings.shop.sources)
        for source in settings.shop.sources if "one_user" in text else ():
            if getattr(source, "one_user", None):
                assert len(db.query(source.one_user, {"user_id": 7})) == 1
        if "[shop.cards]" in text:
            assert product_cards(db, settings.shop, ["P-1"]) == {"P-1": ("P-1", "p-1", "Tea", None, 2.5, "eur", True)}
            assert item_of_handle(db, settings.shop, "p-1") == "P-1"
        if "[products]" in text:
            assert read_catalogue(db, settings.shop).categories.tolist() == ["tea"]


def test_the_example_of_the_bridge_imports_what_the_module_exports() -> None:
    (code,) = (
        block.text for block in blocks((ROOT / "backend/README.md").read_text(encoding="utf-8")) if block.language
    )
    names, module = re.findall(r"^import \{ (.+) \} from '\./(.+)';$", code, re.MULTILINE)[0]
    types = (ROOT / "backend/src" / module.replace(".js", ".d.ts")).read_text(encoding="utf-8")

    for name in [*names.split(", "), "runPythonInference", "onEvent", "timeoutMs", "close"]:
        assert name in code
        assert re.search(rf"\b{name}\b", types), f"{module} should have {name}"


def test_the_index_names_each_page_and_each_file_of_docs_with_a_reader_and_a_question() -> None:
    linked = {(INDEX.parent / link).resolve() for link in links_of(INDEX.read_text(encoding="utf-8"))}
    files = {path for path in INDEX.parent.iterdir() if not path.name.startswith(".")} | set(PAGES)

    assert sorted(named(path) for path in files - linked - {INDEX}) == [], "name it in docs/README.md"
    assert all(reader and re.search(r"[.?]$", answered) for _, reader, answered in ROWS)
    assert len(ROWS) > 15


def test_the_table_of_the_tree_has_every_folder_of_the_project() -> None:
    page = (ROOT / "docs/ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \|", page.split("\nOutside the package:\n")[1].split("\n## ")[0], re.MULTILINE)
    ignored = re.findall(r"^/?([\w.*-]+)/$", (ROOT / ".gitignore").read_text(encoding="utf-8"), re.MULTILINE)
    folders = {path.name for path in ROOT.glob("[!.]*") if path.is_dir()} - {"recsys"}

    assert {folder for folder in folders if not any(fnmatch(folder, name) for name in ignored)} <= {
        name.strip("/") for row in rows for name in spans(row)
    }
