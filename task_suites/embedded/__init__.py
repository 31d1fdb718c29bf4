"""The built-in suite: small worlds, each with its own lexicon, templates and tasks; no network, no model.

A family is a YAML file in the folder `families`, which `family_files` reads and whose format it describes. `templates`
fills slots from a lexicon, `grammar` holds the surface rules of English, `kinds` draws an example of each kind of task,
and `generator` makes a `Task` with its splits. `task_suites.sources.embedded.open_embedded` puts the families together.
"""
