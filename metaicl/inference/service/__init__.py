"""Few-shot answers over HTTP: `metaicl serve`."""
