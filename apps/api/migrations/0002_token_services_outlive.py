import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('api', '0001_initial'),
        ('services', '0001_initial'),
    ]

    operations = [
        # A relation cannot be given a model of its own in place.
        migrations.RemoveField(model_name='apitoken', name='services'),
        migrations.CreateModel(
            name='ApiTokenService',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('service', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='services.service')),
                ('token', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='api.apitoken')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('token', 'service'), name='api_token_service_once')],
            },
        ),
        migrations.AddField(
            model_name='apitoken',
            name='services',
            field=models.ManyToManyField(blank=True, help_text='With none, all that its user may see.', through='api.ApiTokenService', to='services.service', verbose_name='services'),
        ),
    ]
