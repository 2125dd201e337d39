"""Jobs in several processes: PyTorch, Slurm, MPI, Ray."""
