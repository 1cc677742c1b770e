"""README and handbook as the tests see them: files, and the fenced code blocks in them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HANDBOOK = sorted(ROOT.glob("apps/*/handbook/*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *HANDBOOK]


def code_blocks(language: str) -> list[tuple[str, str]]:
    """Each fenced block of `language`, after the name of its file and its position in it."""
    return [
        (f"{path.name}-{number}", block)
        for path in DOCUMENTS
        for number, block in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S), 1
        )
    ]
