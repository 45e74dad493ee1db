# The examples of README.md for Express, Flask, Rails and Laravel, as they stand there, where their language and packages
# are: a report and a reply arrive through them, a forged one is refused, and bytes are passed on as they came.

use strict;
use warnings;

use HTTP::Tiny;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SmsflowDocument;
use SmsflowTest;
use Test::More;

my $folder = PostgreSQL::Test::Utils::tempdir();
my $node = start_server('frameworks', {}, 'smsflow.public_url' => 'http://shop.example');
my ($modules, @pids);
my $log; # of the framework started last

create_shop(4);
add_route('frame', SmsflowGateway->start, profile => 'kannel', gateway => '{"username": "shop"}');
sql(q{INSERT INTO smsflow.gateway_profile (profile, method, content_type, body, report, report_status, inbound)
	VALUES ('posted', 'POST', 'application/json', '{}', '{"status": "state"}', '{"DELIVRD": "delivered"}', '{"from": "from", "to": "to", "body": "text", "id": "id"}');
	SELECT smsflow.add_gateway('posted', 'posted', 'http://127.0.0.1:1')});

# The block below the heading of a framework.
sub example
{
	my ($framework) = @_;

	section_of('README.md', $framework) =~ /^```\w+\n(.*?)^```$/ms or die "README.md has no example of $framework";
	return $1;
}

sub start
{
	my ($name, $text, @command) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $pid;

	$log = "$folder/$name.log";
	open(my $file, '>', "$folder/$name") or die $!;
	print $file $text;
	close($file);
	local %ENV = (%ENV, PORT => $port, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'shop',
		NODE_PATH => ($modules // '') . '/node_modules');
	$pid = fork() // die "fork: $!";
	if ($pid == 0)
	{
		open(STDOUT, '>', $log);
		open(STDERR, '>&', \*STDOUT);
		push @command, '-S', "127.0.0.1:$port" if $command[0] eq 'php';
		exec(@command, "$folder/$name") or POSIX::_exit(127);
	}
	push @pids, $pid;
	wait_until("$name listens", sub { HTTP::Tiny->new->get("http://127.0.0.1:$port/")->{status} == 404 }) or die slurp_file($log);
	return "http://127.0.0.1:$port";
}

sub path_of { my ($url) = @_; return sql("SELECT regexp_replace($url, '^http://shop.example', '')"); }

sub test_framework
{
	my ($name, $url, $person) = @_;
	my $http = HTTP::Tiny->new;
	my $message = send_sms('frame', 'hello', 'transactional', to => phone($person));
	my $report = path_of("smsflow.callback_url('frame', $message, 1)");
	my $inbound = path_of("smsflow.inbound_url('posted')");
	my $long = '{"from": "1415555' . sprintf('%04d', $person) . "\", \"to\": \"1\", \"id\": \"$name\", \"text\": \"caf\xc3\xa9 \\\"quoted\\\"\"}";

	$report =~ s/%d/1/;
	$report =~ s/%[A-Z]/x/g;
	is($http->get("$url$report")->{status}, 200, "$name: a report is kept") or diag($report, slurp_file($log));
	wait_status($message, 'delivered', "$name: ... and applied");
	is($http->post("$url$inbound", { headers => { 'Content-Type' => 'application/json' }, content => $long })->{status}, 200, "$name: a reply is kept");
	is(sql("SELECT body FROM smsflow.inbound WHERE provider_id = '$name'"), "caf\xc3\xa9 \"quoted\"", "$name: ... byte by byte");
	is($http->get($url . $report =~ s/([0-9a-f]{31})([0-9a-f])/$1 . ($2 eq '0' ? '1' : '0')/er)->{status}, 403, "$name: a forged one is refused");
}

SKIP: {
	$modules = npm_packages(qw(express@4 pg@8)) or skip('node, npm or its registry is not here', 5);
	test_framework('Express', start('express.js', example('Express'), 'node'), 1);
}
# What a Rails application has around a controller: its connection, its routes and a server.
sub rails
{
	my ($route) = section_of('README.md', 'Rails') =~ /^With `(match .*?)`:/m or die 'README.md has no route for Rails';

	return <<~RUBY . example('Rails') . <<~SERVER;
		require "action_controller"
		require "active_record"
		require "rack/handler/webrick"
		ActiveRecord::Base.establish_connection(adapter: "postgresql", host: ENV["PGHOST"], port: ENV["PGPORT"], database: ENV["PGDATABASE"])
		RUBY
		routes = ActionDispatch::Routing::RouteSet.new
		routes.draw { $route }
		Rack::Handler::WEBrick.run(routes, Host: "127.0.0.1", Port: ENV["PORT"])
		SERVER
}

# What Laravel has around a route: facades, its database, its router, and the request at hand.
sub laravel
{
	return <<~'PHP' . example('Laravel') . <<~'ANSWER';
		<?php
		require 'Illuminate/autoload.php';
		use Illuminate\Database\Capsule\Manager;
		use Illuminate\Http\Request;
		use Illuminate\Routing\{ResponseFactory, Router};
		use Illuminate\Support\Facades\{DB, Facade, Route};
		$app = new Illuminate\Container\Container;
		Illuminate\Container\Container::setInstance($app);
		Facade::setFacadeApplication($app);
		$database = new Manager($app);
		$database->addConnection(['driver' => 'pgsql', 'host' => getenv('PGHOST'), 'port' => getenv('PGPORT'), 'database' => getenv('PGDATABASE'),
			'username' => getenv('USER'), 'password' => '']);
		$app->instance('db', $database->getDatabaseManager());
		$app->instance(Request::class, Request::capture());
		$app->instance('router', new Router(new Illuminate\Events\Dispatcher($app), $app));
		$app->instance(Illuminate\Contracts\Routing\ResponseFactory::class, (new ReflectionClass(ResponseFactory::class))->newInstanceWithoutConstructor());
		PHP
		try {
			$app->make('router')->dispatch($app->make(Request::class))->send();
		} catch (Symfony\Component\HttpKernel\Exception\NotFoundHttpException $missing) {
			http_response_code(404);
		}
		ANSWER
}

SKIP: {
	skip('python3 with flask and psycopg2 is not here', 5) if system("/usr/bin/python3 -c 'import flask, psycopg2' 2>/dev/null") != 0;
	test_framework('Flask', start('flask_app.py', "import flask, json, os, psycopg2\n" . example('Flask') . "app.run(port=int(os.environ['PORT']))\n",
		'/usr/bin/python3'), 2);
}
SKIP: {
	skip('ruby with action pack, active record, pg and webrick is not here', 5)
		if system(q(ruby -e 'require "action_controller"; require "active_record"; require "pg"; require "rack/handler/webrick"' 2>/dev/null)) != 0;
	test_framework('Rails', start('rails.rb', rails(), 'ruby'), 3);
}
SKIP: {
	skip('php with pgsql and laravel is not here', 5)
		if system(q(php -r 'exit(extension_loaded("pdo_pgsql") && @include("Illuminate/autoload.php") ? 0 : 1);' >/dev/null 2>&1)) != 0;
	test_framework('Laravel', start('laravel.php', laravel(), 'php'), 4);
}

$node->stop;
done_testing();

END
{
	my $status = $?;

	kill('KILL', @pids) if @pids;
	waitpid($_, 0) for @pids;
	$? = $status;
}
