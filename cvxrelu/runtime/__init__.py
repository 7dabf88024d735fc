"""Run-time support: threads, interrupts, memory, compilation and lazy imports."""
