"""The built-in suite: 14 small worlds, each with its own lexicon, templates and tasks; no file, no network, no model.

`grammar` holds the surface rules of English, `generator` turns a lexicon and templates into a `Task`, and each other
module holds one family. `task_suites.sources.embedded.open_embedded` puts them together.
"""
