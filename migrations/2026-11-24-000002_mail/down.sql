drop table parked_events;
drop table received_events;
drop table notifications;
drop table assignments;
