-- Nothing is lost.
drop index commands_unstripped;
