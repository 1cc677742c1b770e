"""Several hosts in network namespaces: cuts and slows their network, removes hosts, shifts clocks, upgrades.

`make hosts` needs root on Linux with iproute2: python -m tests.hosts [seed].
"""
