"""Run the tutorial's notebook and write it, with what it printed and drew, as a page of the site.

    python docs/notebook.py

makes docs/reference/notebook.md and its pictures. The notebook itself is kept without outputs.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent / "tutorial.ipynb"
FOLDER = Path(__file__).parent / "reference"


def executed(timeout: int = 300) -> nbformat.NotebookNode:
    """The notebook with the outputs of all its cells; what a cell raises is raised here (CellExecutionError)."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=timeout, kernel_name="python3").execute()
    for cell in notebook.cells:  # progress and warnings of libraries do not belong to the page
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


def page(notebook: nbformat.NotebookNode) -> tuple[str, dict[str, bytes]]:
    """(the page in Markdown, its pictures by name)."""
    from nbconvert import MarkdownExporter

    text, resources = MarkdownExporter().from_notebook_node(notebook, {"output_files_dir": "notebook"})
    for name in ("data", "training", "choosing"):  # the page lies one folder lower than the notebook
        text = text.replace(f"]({name}.md)", f"](../{name}.md)")
    return text, resources["outputs"]


if __name__ == "__main__":
    text, pictures = page(executed())
    (FOLDER / "notebook").mkdir(parents=True, exist_ok=True)
    for name, content in pictures.items():
        (FOLDER / name).write_bytes(content)
    (FOLDER / "notebook.md").write_text(text, encoding="utf-8")
