"""The machine: threads, interrupts, memory, compilation and lazy imports."""
