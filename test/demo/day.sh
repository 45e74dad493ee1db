# shellcheck shell=bash
# The day of the store, scene by scene. What a scene does is SQL that the
# store's own application sends, as role "store": it knows smsflow by
# subscribe() and opt_out() alone. To be sourced by demo.sh.

# store_does: the statements on standard input, as one transaction unless they say otherwise.
store_does() { sql store -f - >>"$folder/day.log" 2>&1 || fail "the store's own statements failed" "Their log is $folder/day.log" "$cleanup"; }

# ended NAME COUNT: a query that is true when so many messages of a sequence or campaign have come to their end.
ended() { echo "SELECT count(*) >= $2 FROM smsflow.message WHERE coalesce(campaign, sequence, purpose) = '$1' AND status IN ('delivered', 'undelivered', 'suppressed')"; }

number_of() { echo "+1415555010$1"; }

# check_out ID FIRST LAST LAST-DIGIT PURPOSES: customer and consent in one transaction.
check_out()
{
	store_does <<-END
	BEGIN;
	INSERT INTO customers VALUES ($1, '$2', '$3', '$(number_of "$4")');
	SELECT smsflow.subscribe('$(number_of "$4")', '$5', source => 'checkout',
		disclosure => 'Text me about my orders, shopping cart reminders and offers of Alma Outdoor. Reply STOP to end.',
		external_id => '$1', attributes => '{"first_name": "$2", "last_name": "$3"}');
	-- Cart reminders need a YES from the phone itself in the United States.
	SELECT smsflow.confirm_opt_in('$(number_of "$4")');
	COMMIT;
	END
}

morning()
{
	local all='{transactional,cart,promotional}'

	say "Ada, Ben, Dan, Eve, Finn and Zoë open accounts and agree to text messages at checkout"
	check_out 1 Ada Moreno 1 "$all"
	check_out 2 Ben Okafor 2 "$all"
	check_out 4 Dan Fischer 4 "$all"
	check_out 5 Eve Laurent 6 "$all"
	check_out 6 Finn Olsen 5 "$all"
	check_out 7 Zoë Keller 7 "$all"
	say "Carla agrees to messages about her orders, but not to marketing"
	check_out 3 Carla Rossi 3 '{transactional}'
	say "Dan changes his mind and switches marketing off in his account"
	store_does <<<"SELECT smsflow.opt_out('$(number_of 4)', source => 'account page');"
	sql postgres -F $'\t' -c "SELECT phone, first_name FROM shop.customers" >"$folder/.names"
}

noon()
{
	say "Ada, Ben and Eve put things into their carts, and leave"
	store_does <<-'END'
	SELECT fill_cart(101, 1, '{TENT2,MUG}');
	SELECT fill_cart(102, 2, '{BOOTS}');
	SELECT fill_cart(103, 5, '{STOVE}');
	END
	say "Ben comes back and buys; the reminders are due $cart_delay after the carts"
	store_does <<<"SELECT place_order(5001, 2, '{BOOTS}', cart => 102);"
	say "Zoë's card is declined: her order is rolled back, and so is its confirmation"
	store_does <<-'END'
	BEGIN;
	SELECT place_order(5002, 7, '{LAMP}');
	ROLLBACK;
	END
	wait_for 20 "Ben's order confirmation" "$(ended 'order confirmation' 1)"
	show_phones
	wait_for 20 "the cart reminders" "$(ended 'cart reminder' 2)"
	show_phones
}

stop_reply()
{
	say "Eve replies STOP"
	logged "the reply of a phone" "$folder/day.log" "$top/test/gateway/kannel.sh" reply "$folder/kannel" "$(number_of 6)" "$sender" STOP
	wait_for 20 "the answer to STOP" "$(ended compliance 1)"
	show_phones
}

plan_flash_sale()
{
	logged "scheduling the flash sale" "$folder/day.log" sql marketer -c "SELECT smsflow.schedule_campaign('flash sale', '* * * * *')"
	say "the marketer schedules a flash sale by pg_cron for the next full minute"
}

afternoon()
{
	say "the parcel of Ben is handed over; Carla buys; Eve buys, too, after her STOP"
	store_does <<-'END'
	SELECT ship_order(5001, 'https://parcel.example/7731');
	SELECT place_order(5003, 3, '{LAMP,MUG}');
	SELECT place_order(5004, 5, '{STOVE}', cart => 103);
	END
	wait_for 20 "the shipping notice" "$(ended 'shipping notice' 1)"
	wait_for 20 "Carla's order confirmation" "$(ended 'order confirmation' 3)"
	show_phones
}

# A terminal shows the seconds that are left.
count_down()
{
	local minute=$(($(date +%s) / 60 * 60 + 60)) waiting

	waiting=$(say "waiting for pg_cron, which starts jobs at full minutes: $((minute - $(date +%s))) s to go")
	printf '%s' "$waiting"
	while [ -t 1 ] && [ "$(date +%s)" -lt "$minute" ]
	do
		printf '\r%s %2d s to go' "${waiting%:*}:" "$((minute - $(date +%s)))"
		sleep 0.2
	done
	printf '\n'
}

# The full minute may have come in the afternoon already.
wait_for_cron()
{
	if [ "$(sql postgres -c "SELECT status FROM smsflow.campaign")" = draft ]
	then
		count_down
		wait_for 90 "pg_cron to launch the flash sale (see cron.job_run_details)" "SELECT status <> 'draft' FROM smsflow.campaign"
	fi
	say "pg_cron launches the flash sale" "$(sql postgres -c "SELECT extract(epoch FROM launch_at) FROM smsflow.campaign")"
}

evening()
{
	wait_for_cron
	wait_for 30 "the flash sale" "SELECT status = 'done' FROM smsflow.campaign"
	wait_for 30 "the reports of the flash sale" "$(ended 'flash sale' 7)"
	show_phones
	say "Zoë tries again, with another card"
	store_does <<<"SELECT place_order(5005, 7, '{LAMP,STOVE}');"
	wait_for 20 "Zoë's order confirmation" "$(ended 'order confirmation' 4)"
	show_phones
}

play_day()
{
	heading "One day in the store"
	started=$EPOCHREALTIME
	morning
	noon
	stop_reply
	plan_flash_sale
	afternoon
	evening
	wait_for 20 "the last delivery reports" \
		"SELECT status IN ('delivered', 'undelivered', 'suppressed') FROM smsflow.message"
	say "the day is over"
}
