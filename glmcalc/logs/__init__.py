"""Reading what a server printed: bounded memory, several ranks and engines, nothing secret kept."""
