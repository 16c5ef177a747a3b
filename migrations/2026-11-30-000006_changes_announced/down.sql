-- Services read again as before.
set lock_timeout = '5s';

drop trigger announce_change on schemas;
drop trigger announce_change on api_keys;
drop trigger announce_change on tenants;
drop function announce_change();
