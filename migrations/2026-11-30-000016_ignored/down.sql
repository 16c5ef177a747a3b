alter table commands drop column ignored;
