"""`metaicl reproduce`: a paper's whole protocol by one command, and its published numbers beside ours.

What a paper did lies in a file of `published/`: its settings, rows, hyperparameters and numbers. `protocol` reads it,
`data` gives the tasks as the paper prompts them, `run` trains and evaluates the rows, `table` scores and shows them.
"""
