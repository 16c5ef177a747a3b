-- Nothing is lost that a running worker does not know.
drop index commands_made;
drop table suspects;
drop table workers;
