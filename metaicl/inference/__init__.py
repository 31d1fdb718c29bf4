"""Few-shot inference: `FewShotClassifier`, and answers to a file of inputs."""
