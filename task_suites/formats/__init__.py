"""How examples become text: prompt formats, templates, chat templates, label words, tags."""
