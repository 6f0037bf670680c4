"""Stand-in machines: a PID and mount namespace per node that really runs commands and really goes down."""
