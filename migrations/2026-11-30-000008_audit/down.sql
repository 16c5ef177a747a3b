drop table refusals;
drop table operator_actions;
