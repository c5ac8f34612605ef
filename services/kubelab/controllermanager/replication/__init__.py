"""The replication manager: as many pods as a controller asks for."""
