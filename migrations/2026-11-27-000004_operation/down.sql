-- Nothing is lost that a running worker does not know.
drop table suspects;
drop table workers;
