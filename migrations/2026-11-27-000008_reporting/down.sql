-- Nothing is lost. The role stays: it belongs to the server, and another database may use it.
drop index users_unlinked;
drop schema reporting cascade;
