"""Pure rules and messages: no I/O, no clock, no SDK."""
