"""Configuration files of everything that is not ours; filled with ``str.format``."""

PROVIDER = """\
daemon off; worker_processes 1; pid {folder}/provider.pid; error_log {folder}/provider.err;
{user}
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 3600s;
  client_max_body_size 64m; client_body_buffer_size 64k;
  client_body_temp_path {folder}/provider-body;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {identity}; ssl_certificate_key {identity};
    ssl_session_cache shared:s:4m; ssl_protocols TLSv1.2 TLSv1.3;
    location / {{ default_type application/json; return 200 '{body}'; }}
    location /v1/slow {{ proxy_pass https://127.0.0.1:{port}/; }}
    location /v1/large {{ alias {folder}/large; }}
  }}
}}
"""
"""It answers at once; ``/v1/slow`` when the whole body has come, ``/v1/large`` with a file."""


SQUID = """\
http_port 127.0.0.1:{port}
visible_hostname bench.test
pid_filename none
coredump_dir {folder}
cache_log {folder}/squid-cache.log
logformat bench %>Hs %rm %ru
access_log stdio:{folder}/squid-access.log bench
hosts_file {folder}/squid-hosts
dns_nameservers 127.0.0.1
cache deny all
cache_mem 0 MB
memory_cache_shared off
netdb_filename none
pinger_enable off
max_filedescriptors {descriptors}
shutdown_lifetime 0 seconds
{user}
acl provider dstdomain -n localhost
acl CONNECT method CONNECT
http_access allow CONNECT provider
http_access deny all
"""

NGINX = """\
daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
{user}
events {{ worker_connections 16384; }}
http {{
  access_log {folder}/{name}.access.log; keepalive_requests 100000000;
  client_max_body_size 64m; client_body_buffer_size 64k;
  client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
  map $http_upgrade $connection_field {{ default upgrade; '' ''; }}
  upstream provider {{
    server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass https://provider; proxy_http_version 1.1; proxy_buffering off;
      proxy_request_buffering off; proxy_read_timeout 3600s; proxy_send_timeout 3600s;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_field;
      proxy_set_header Host {host}; proxy_set_header Authorization "Bearer {key}";
      proxy_set_header X-Request-Id $request_id;
      proxy_ssl_verify on; proxy_ssl_verify_depth 2; proxy_ssl_name {host};
      proxy_ssl_server_name on; proxy_ssl_trusted_certificate {authority};
    }}
  }}
}}
"""

HAPROXY = """\
global
  maxconn 8192
  nbthread 1
  log stderr format raw local0
defaults
  mode http
  log global
  option httplog
  option http-no-delay
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
frontend agents
  bind 127.0.0.1:{port} backlog 4096
  default_backend provider
backend provider
  http-reuse always
  http-request set-header Authorization "Bearer {key}"
  http-request set-header Host {host}
  server one 127.0.0.1:{upstream} ssl verify required ca-file {authority} sni str({host}) \
verifyhost {host} pool-max-conn 128 alpn http/1.1
"""

MITMPROXY = """\
def requestheaders(flow):
    flow.request.headers["authorization"] = "Bearer {key}"


def responseheaders(flow):
    kind = flow.response.headers.get("content-type", "")
    flow.response.stream = kind.startswith("text/event-stream")
"""

LITELLM = """\
model_list:
  - model_name: "*"
    litellm_params: {{model: "openai/*", api_base: "https://{host}:{upstream}/v1", \
api_key: "{key}"}}
litellm_settings: {{telemetry: false, num_retries: 0}}
general_settings: {{master_key: "{master}"}}
"""
