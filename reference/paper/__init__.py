"""Figures and tables of the paper (Mishkin, Sahiner & Pilanci, ICML 2022, arXiv 2202.01331), at a chosen scale."""
