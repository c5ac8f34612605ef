"""The process that outlives the runtime: it starts pods' holders, containers' monitors and commands."""
