"""Documentation files and their fenced code blocks."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HANDBOOK = sorted(ROOT.glob("apps/*/handbook/*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *HANDBOOK]


def code_blocks(language: str) -> list[tuple[str, str]]:
    """Returns the fenced blocks of `language`, each with a name from its file and its position."""
    return [
        (f"{path.name}-{number}", block)
        for path in DOCUMENTS
        for number, block in enumerate(
            re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S), 1
        )
    ]
