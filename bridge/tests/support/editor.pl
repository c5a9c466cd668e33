#!/usr/bin/perl
# Stands in for the editor: an HTTP server on the socket that `--socket` names.
# /healthz answers 200, /orphan leaves a process behind whose parent has gone, /busy leaves one that
# computes for a minute, /environment answers with the environment and the arguments.
use strict;
use warnings;
use IO::Socket::UNIX;

my %option;
for my $i (0 .. $#ARGV - 1) { $option{$1} = $ARGV[$i + 1] if $ARGV[$i] =~ /^--(.+)/; }
my $path = $option{'socket'};
umask 0;
my $server = IO::Socket::UNIX->new(Local => $path, Listen => 64) or die "cannot listen: $!";
chmod oct($option{'socket-mode'}), $path or die "cannot chmod: $!";
$SIG{CHLD} = 'IGNORE';
$| = 1;
print "listening\n";
while (1) {
    my $client = $server->accept or next;
    next if fork;
    my $request = <$client> // '';
    while (my $line = <$client>) { last if $line =~ /^\r?$/; }
    my $body = "$request";
    if ($request =~ m{ /orphan }) {
        # The child of a child that ends at once is adopted by whoever reaps orphans.
        pipe(my $read, my $write);
        if (!fork) {
            my $orphan = fork;
            if (!$orphan) { close $client; close $read; exit 0; }
            syswrite $write, $orphan;
            exit 0;
        }
        close $write;
        $body = <$read>;
    } elsif ($request =~ m{ /busy }) {
        my $busy = fork;
        if (!$busy) {
            close $client;
            exec 'perl', '-e', 'alarm 60; 1 while 1', 'busy-work';
        }
        $body = $busy;
    } elsif ($request =~ m{ /environment }) {
        $body = join("\n", (map { "$_=$ENV{$_}" } sort keys %ENV), "ARGV=@ARGV");
    }
    print $client "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    exit 0;
}
