"""How the processes of a training share its work.

engine.py   each process holds the whole model: one process, or several by PyTorch's DDP
fsdp2.py    the model lies in parts over the processes, by PyTorch's FSDP2
zero.py     gradients and optimiser states, or the model too, lie in parts, by DeepSpeed's ZeRO
"""
