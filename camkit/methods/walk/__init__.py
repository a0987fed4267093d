"""Random walks between pixels that belong together: AffinityNet (Ahn and Kwak 2018), IRN (Ahn, Cho and Kwak 2019)."""
